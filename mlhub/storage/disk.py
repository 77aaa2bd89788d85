"""What the operating system's errors on a store's disk mean for users and for who runs the hub."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mlhub.common.errors import UnavailableError

_LOG = logging.getLogger(__name__)

_REASONS: Final = {
    errno.ENOSPC: "its disk is full; free some space on it",
    errno.EDQUOT: "its disk quota is used up; free some space in it",
    errno.ENOENT: "its folder is missing",
    errno.ENOTDIR: "its folder is missing",
    errno.EACCES: "its folder may not be written by this process",
    errno.EPERM: "its folder may not be written by this process",
    errno.EROFS: "its disk is read-only",
}
RETRY_AFTER: Final = 30
"""Seconds after which a store that took nothing may take something again."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn the operating system's errors into MLHub's; they name paths, which are for the log alone.

    Raises:
        UnavailableError: the disk cannot be used.
    """
    try:
        yield
    except OSError as error:
        _LOG.warning("bundle store: %s", error)
        why = _REASONS.get(error.errno or 0, f"the operating system says: {error.strerror}")
        raise unavailable(why) from error


def unavailable(why: str) -> UnavailableError:
    """Say that the store cannot be used."""
    return UnavailableError(
        f"The bundle store cannot be used: {why}.", code="store_unavailable", retry_after=RETRY_AFTER
    )
