"""The terminal: what commands print, and how what goes wrong is said there."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from mlhub.common.errors import MLHubError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mlhub.client.client import Client

_WIDE: Final = 200
"""Columns where nobody looks: a pipe cuts nothing off."""


@contextmanager
def connect(url: str | None, token: str | None) -> "Iterator[Client]":
    """Yield a client of the hub; whatever goes wrong leaves as one sentence that is fit for a terminal.

    Raises:
        MLHubError: a call on the hub, or the reading or writing of a file, went wrong.
    """
    # Commands import what they need: `mlhub --help` should not wait for the HTTP library.
    from mlhub.client.client import Client  # noqa: PLC0415
    from mlhub.client.errors import HubError  # noqa: PLC0415

    try:
        with Client(url, token) as client:
            yield client
    except HubError as error:
        detail = printable(error.detail)
        if error.status == HTTPStatus.UNAUTHORIZED:
            detail = "This hub lets nobody in without its token: set MLHUB_TOKEN to it."
        raise HubError(detail, status=error.status, code=error.code, request_id=error.request_id) from error
    except BrokenPipeError:
        # Whoever read the output has enough of it; that is for the command line's edge.
        raise
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise MLHubError(f"{place}{error.strerror or error}.", code="file") from error


def show(answer: Any, people: "RenderableType", *, as_json: bool) -> None:
    """Print an answer: as JSON for scripts, else in the form for people."""
    if as_json:
        show_json(answer)
        return
    from rich.console import Console  # noqa: PLC0415

    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
    console.print(people)


def show_json(answer: Any) -> None:
    """Print an answer as JSON, with keys and order that stay."""
    import msgspec  # noqa: PLC0415

    show_line(msgspec.json.format(msgspec.json.encode(answer)).decode())


def show_line(text: str) -> None:
    """Print a line that programs may read."""
    # Bytes: JSON is UTF-8 whatever the terminal's own encoding is.
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode() + b"\n")
    sys.stdout.buffer.flush()


def note(text: str) -> None:
    """Tell people something that is no part of the answer."""
    sys.stderr.write(text + "\n")


def printable(text: str) -> str:
    """Return text that came from elsewhere without what would steer the terminal."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in text)
