"""How much of what this machine computes is for those that wait: what does not stand back by its priority.

Job workers and the embedded database have a `nice` above zero, of which Linux keeps count by itself. So this
tells work of a backlog, which uses both, from that of everybody else.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

_SPAN: Final = 0.25
"""Seconds over which is looked: Linux counts in hundredths."""
_STALE: Final = 2.0
"""Seconds after which what was seen tells nothing of now."""
_STATISTICS: Final = Path("/proc/stat")


class Computed(NamedTuple):
    """What all processors did since the machine started, in programs; any unit."""

    foreground: float
    """For programs of usual priority."""
    background: float
    """For those that stand back."""


class Foreground:
    """Looks every so often at what the processors do; for many threads."""

    def __init__(
        self,
        read: Callable[[], Computed | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember how to look.

        Args:
            read: tells what was computed; nothing where the system does not say.
            clock: tells the time in seconds.
        """
        self._read = read or computed
        self._clock = clock
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._seen: Computed | None = None
        self._share = 1.0

    def share(self) -> float:
        """Return the part of what is computed that is for those that wait: all of it where nothing tells."""
        with self._lock:
            moment = self._clock()
            passed = moment - self._at
            if passed >= _SPAN:
                before, self._seen, self._at = self._seen, self._read(), moment
                is_fresh = passed < _STALE
                self._share = _share(before, self._seen) if is_fresh else 1.0
            return self._share


def computed() -> Computed | None:
    """Return what this machine's processors did, where the system tells."""
    try:
        _, user, nice, *_ = _STATISTICS.read_text().split(maxsplit=3)
        return Computed(float(user), float(nice))
    except (OSError, ValueError):
        return None


def _share(before: Computed | None, after: Computed | None) -> float:
    if before is None or after is None:
        return 1.0
    foreground = after.foreground - before.foreground
    total = foreground + after.background - before.background
    return foreground / total if total > 0 else 0.0
