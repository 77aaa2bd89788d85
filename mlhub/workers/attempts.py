"""How often a job is tried, and what makes it worth trying again: the one policy of all jobs."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final, TypeVar

import msgspec

from mlhub.common.errors import (
    BackendTimeoutError,
    BackendUnreachableError,
    MLHubError,
    NotDeployedError,
    UnavailableError,
)

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


class SurpriseError(MLHubError):
    """Something that nobody foresaw went wrong in a job; the log has it."""

    code = "surprise"


PASSING: Final = (
    BackendUnreachableError,
    BackendTimeoutError,
    NotDeployedError,
    UnavailableError,
    SurpriseError,
)
"""Errors that lie in the state of the hub, not in the work: the same job may succeed later."""


_DEADLY: Final = 3
"""How often a worker may begin a single piece of work and not come back from it."""
_FIRST_PAUSE: Final = 1.0
_GROWTH: Final = 3.0
_LONGEST_PAUSE: Final = 60.0
"""Seconds before a second try, how much longer before each further one, and before any at most."""


def _nothing() -> None:
    """Take no note."""


class AttemptPolicy(msgspec.Struct, frozen=True):
    """Decides whether, and after what time, a failed job is tried again."""

    limit: int
    """How often a job is tried at most."""
    lease: timedelta
    """How long a worker may show no sign of life before another one may take its job over."""
    noted: Callable[[], None] = _nothing
    """Called for each job that is to be tried again."""

    def again(self, attempts: int, error: MLHubError) -> bool:
        """Tell whether a job that failed with `error` at its `attempts`-th try gets another one."""
        again = attempts < self.limit and isinstance(error, PASSING)
        if again:
            self.noted()
        return again

    def exhausted(self, attempts: int) -> bool:
        """Tell whether a job was begun more often than it may be: its workers died on it."""
        return attempts > self.limit

    def deadly(self, tries: int) -> bool:
        """Tell whether a piece of work has ended as many workers as it may."""
        return tries >= _DEADLY

    def pause(self, attempts: int) -> timedelta:
        """Return the time between the `attempts`-th try and the next: longer each time."""
        return timedelta(seconds=min(_FIRST_PAUSE * _GROWTH ** (attempts - 1), _LONGEST_PAUSE))


def attempt(work: Callable[[], T]) -> T:
    """Do the work of a job, and return what it returns.

    Raises:
        MLHubError: what the work raises, `SurpriseError` for anything else: without that the record would
            stay as it is until its lease ends, and its user would wait for nothing.
    """
    try:
        return work()
    except MLHubError:
        raise
    except Exception as error:
        _LOG.exception("a job failed unexpectedly")
        raise SurpriseError("The hub itself failed on this; its log has the reason.") from error
