"""How quick a model is, and so where it computes: handing work to a thread costs more than a quick model."""

import time
from typing import Final, NamedTuple

_COMPUTING: Final = 0.001
"""Seconds that a quick prediction computes at most: a pause that other requests do not notice."""
_PASSING: Final = 0.02
"""Seconds that pass meanwhile at most: more, since on a busy machine each has to wait for its turn."""
_TRIAL: Final = 8
"""Predictions in a row that must be quick before the next one may hold up the others."""
_LONGEST: Final = 1024
"""Predictions that this grows to for a model that is not always quick."""


class Taken(NamedTuple):
    """The time that a prediction took."""

    computing: float
    """Seconds that its own thread computed."""
    passing: float
    """Seconds from its beginning to its end."""


class Stopwatch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._computing = time.thread_time()
        self._passing = time.perf_counter()

    def read(self) -> Taken:
        """Return the time since then; in the same thread."""
        return Taken(time.thread_time() - self._computing, time.perf_counter() - self._passing)


class Pace:
    """The recent predictions of one model. Not thread-safe: told and asked on the event loop alone."""

    def __init__(self) -> None:
        self._trial = _TRIAL
        self._quick = 0
        """Predictions in a row that were quick."""
        self._largest = 0
        """Bytes of the largest request among them."""

    def allows(self, size: int) -> bool:
        """Tell whether a request may be answered on the event loop: one no larger than those that were quick.

        Args:
            size: bytes of the request.
        """
        return self._quick >= self._trial and size <= self._largest

    def took(self, taken: Taken, size: int) -> None:
        """Note how long a prediction of a request of `size` bytes took."""
        if taken.computing <= _COMPUTING and taken.passing <= _PASSING:
            self._quick += 1
            self._largest = max(self._largest, size)
            return
        if self._quick >= self._trial:
            # It was trusted too soon, and is so less readily from now on.
            self._trial = min(2 * self._trial, _LONGEST)
        self._quick = 0
        self._largest = 0
