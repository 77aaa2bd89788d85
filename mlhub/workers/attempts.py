"""How often a job is tried, and what makes it worth trying again: the one policy of all jobs."""

from datetime import timedelta
from typing import Final

import msgspec

from mlhub.common.errors import (
    BackendTimeoutError,
    BackendUnreachableError,
    MLHubError,
    NotDeployedError,
    UnavailableError,
)

PASSING: Final = (BackendUnreachableError, BackendTimeoutError, NotDeployedError, UnavailableError)
"""Errors that lie in the state of the hub, not in the work: the same job may succeed later."""


class AttemptPolicy(msgspec.Struct, frozen=True):
    """Decides whether a failed job is tried again."""

    limit: int
    """How often a job is tried at most."""
    lease: timedelta
    """How long one try may take before another worker may begin the next."""

    def again(self, attempts: int, error: MLHubError) -> bool:
        """Tell whether a job that failed with `error` at its `attempts`-th try gets another one."""
        return attempts < self.limit and isinstance(error, PASSING)

    def exhausted(self, attempts: int) -> bool:
        """Tell whether a job was begun more often than it may be: its workers died on it."""
        return attempts > self.limit
