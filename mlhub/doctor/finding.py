"""What the doctor finds."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from urllib.parse import urlsplit

import msgspec

from mlhub.common.settings import Settings


class State(StrEnum):
    """How something is."""

    GOOD = "good"
    WARNING = "warning"
    """The hub works, but perhaps not as it should, or not for long."""
    BAD = "bad"
    """The hub, or a part of it, does not work."""


class Finding(msgspec.Struct, frozen=True):
    """How one thing is."""

    what: str
    """What was looked at, e.g. `broker` or `backend sklearn`."""
    state: State
    detail: str
    """What was found, in one sentence."""
    advice: str = ""
    """What to do, in one sentence, where there is something."""


Check = Callable[[Settings], Iterator[Finding]]
"""Looks at one part of an installation, and changes nothing; what is wrong there is a finding, no error."""


def good(what: str, detail: str) -> Finding:
    """Find that something is well."""
    return Finding(what, State.GOOD, detail)


def warning(what: str, detail: str, advice: str) -> Finding:
    """Find that something may go wrong."""
    return Finding(what, State.WARNING, detail, advice)


def bad(what: str, detail: str, advice: str) -> Finding:
    """Find that something does not work."""
    return Finding(what, State.BAD, detail, advice)


def place(url: str) -> str:
    """Return host and port of a URL, without the name and password that it may have."""
    return urlsplit(url).netloc.rpartition("@")[2] or "no address"
