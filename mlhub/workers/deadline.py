"""A point in time by which work must be done, looked at by the work itself."""

import time

from mlhub.common.errors import UnacceptableError


class OverdueError(UnacceptableError):
    """A step of a job took longer than it may."""

    code = "too_slow"


class Deadline:
    """Ends work that looks at it often enough; threads cannot be ended from outside."""

    def __init__(self, seconds: float, what: str) -> None:
        """Begin to count.

        Args:
            seconds: how long the work may take.
            what: the work, as the beginning of a sentence: `Unpacking the bundle`.
        """
        self._seconds = seconds
        self._what = what
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left, never less than 0."""
        return max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """Let the work go on while there is time.

        Raises:
            OverdueError: there is none left.
        """
        if self.left == 0:
            raise self.error()

    def error(self) -> OverdueError:
        """Make the error of work that took too long."""
        return OverdueError(
            f"{self._what} took longer than the {self._seconds:g} seconds it may take; make the bundle "
            "smaller, or ask whoever runs the hub to raise MLHUB_STEP_TIMEOUT."
        )
