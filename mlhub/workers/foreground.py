"""How much of what this machine computes is for those that wait: what does not stand back by its priority.

Job workers and the embedded database have a `nice` above zero, of which Linux keeps count by itself. So this
tells work of a backlog, which uses both, from that of everybody else. A MongoDB server on this machine has no
such priority, and works for a backlog all the same: what it computes counts as theirs.
"""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

_SPAN: Final = 0.25
"""Seconds over which is looked: Linux counts in hundredths."""
_STALE: Final = 2.0
"""Seconds after which what was seen tells nothing of now."""
_PROCESSES: Final = Path("/proc")
_STATISTICS: Final = _PROCESSES / "stat"
_DATABASES: Final = frozenset({"mongod", "mongos"})
"""Names of the programs that are a MongoDB server."""
_SEARCH: Final = 10.0
"""Seconds between two searches for them: each looks at all processes."""


class Computed(NamedTuple):
    """What all processors did since the machine started, in programs; any unit."""

    foreground: float
    """For programs of usual priority."""
    background: float
    """For those that stand back, or work for them."""


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
        self._read = read or Processors(clock).computed
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


class Processors:
    """What this machine's processors did, and for whom."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        databases: frozenset[str] = _DATABASES,
    ) -> None:
        """Remember how to look.

        Args:
            clock: tells the time in seconds.
            databases: names of programs that work for jobs though they have the usual priority.
        """
        self._clock = clock
        self._names = databases
        self._searched_at = float("-inf")
        self._times: dict[Path, float] = {}
        """What those computed that run, by their processes."""
        self._gone = 0.0
        """What those did that ended."""

    def computed(self) -> Computed | None:
        """Return what was computed, where the system tells."""
        try:
            _, user, nice, *_ = _STATISTICS.read_text().split(maxsplit=3)
            foreground, background = float(user), float(nice)
        except (OSError, ValueError):
            return None
        by_databases = self._by_databases()
        return Computed(foreground - by_databases, background + by_databases)

    def _by_databases(self) -> float:
        if self._clock() - self._searched_at >= _SEARCH:
            self._searched_at = self._clock()
            found = set(self._search())
            self._gone += sum(self._times.pop(each) for each in [*self._times] if each not in found)
            self._times = {each: self._times.get(each, 0.0) for each in found}
        for process in self._times:
            self._times[process] = max(self._times[process], computed_by(process))
        return self._gone + sum(self._times.values())

    def _search(self) -> Iterator[Path]:
        for process in _PROCESSES.iterdir():
            try:
                if process.name.isdigit() and (process / "comm").read_text().rstrip("\n") in self._names:
                    yield process
            except (OSError, ValueError):
                # It has just ended.
                continue


def computed_by(process: Path) -> float:
    """Return what a process computed at usual priority; nothing for one that has ended, or stands back."""
    try:
        # Its name, in parentheses, may have anything in it.
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        user, nice = float(fields[11]), int(fields[16])
    except (OSError, ValueError, IndexError):
        return 0.0
    return user if nice <= 0 else 0.0


def _share(before: Computed | None, after: Computed | None) -> float:
    if before is None or after is None:
        return 1.0
    foreground = after.foreground - before.foreground
    total = foreground + after.background - before.background
    return max(0.0, foreground / total) if total > 0 else 0.0
