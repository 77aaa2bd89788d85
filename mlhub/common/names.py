"""Names of models and versions, as they stand in addresses, folders and queues."""

import re
from typing import Final

from mlhub.common.errors import UnacceptableError

PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_NAME = re.compile(PATTERN)

LATEST: Final = "latest"
"""The version name that stands for the newest ready version."""


def check_model(name: str) -> str:
    """Return `name` when it may name a model.

    Raises:
        UnacceptableError: it may not; the sentence says which names may.
    """
    return _check(name, "model", "invalid_name")


def check_version(name: str) -> str:
    """Return `name` when it may name a version; `latest` may not, it is derived.

    Raises:
        UnacceptableError: it may not.
    """
    if name == LATEST:
        raise UnacceptableError(
            "'latest' always means the newest ready version and cannot be given as a version's own name.",
            code="invalid_version",
        )
    return _check(name, "version", "invalid_version")


def _check(name: str, what: str, code: str) -> str:
    # A path made of dots only would climb out of a folder named after it.
    if _NAME.fullmatch(name) is None:
        raise UnacceptableError(
            f"A {what}'s name has 1 to 128 letters, digits, dots, dashes and underscores of ASCII, "
            "and begins with a letter or digit.",
            code=code,
        )
    return name
