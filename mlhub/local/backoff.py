"""Pauses before a program is started again: none at first, growing while it ends soon after its start."""

from typing import Final

_STABLE: Final = 20.0
"""Seconds after which a program that ends is not counted as failing at its start."""
_LONGEST: Final = 30.0
"""Seconds that a pause grows to."""


class Backoff:
    """The pauses of one program."""

    def __init__(self) -> None:
        self.failures = 0
        """How often in a row it ended soon after its start."""
        self._not_before = 0.0

    def ended(self, now: float, age: float) -> float:
        """Note that the program ended `age` seconds after its start; return the pause, in seconds."""
        self.failures = 0 if age >= _STABLE else self.failures + 1
        # A first failure may be bad luck, such as a port that a dying process still has.
        pause = 0.0 if self.failures <= 1 else min(2.0 ** (self.failures - 2), _LONGEST)
        self._not_before = now + pause
        return pause

    def over(self, now: float) -> bool:
        """Tell whether the program may be started."""
        return now >= self._not_before
