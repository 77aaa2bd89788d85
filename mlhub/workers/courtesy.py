"""Jobs stand back where those that wait for their answers need the processors.

Priorities alone do not do it: most of a job's work is done by the database and by model servers, at theirs.
How long a job's own thread waits for a processor tells how many want one; it pauses in proportion, and with
it all that it would have others do. It does not where only jobs are in each other's way, and the database in
theirs: nearly all that is computed then is done by what stands back.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from mlhub.workers.fairlock import FairLock
from mlhub.workers.foreground import Foreground

_CONTENDED: Final = 0.25
"""Part of its time that a thread which could compute waits, from which on processors are contended."""
_WANTED: Final = 0.2
"""Part of what is computed that is for others, from which on they are who a thread waits for."""
_PAUSE: Final = 4.0
"""Pause for each second of work, where they are."""
_LONGEST: Final = 0.5
"""Seconds of a pause: work of somebody else may have come meanwhile."""
_TURN: Final = 4.0
"""Seconds that a thread waits for its turn: what another one does may take minutes, with a slow model."""
_SHORTEST: Final = 1e-3
"""Seconds of computing and waiting that tell anything; those of shorter work are added up."""
_STATISTICS: Final = Path("/proc/thread-self/schedstat")
"""What Linux says of a thread: nanoseconds on a processor, nanoseconds of waiting for one, turns."""


class Times(NamedTuple):
    """What a thread did since it began."""

    computing: float
    """Seconds on a processor."""
    waiting: float
    """Seconds in which it could have computed, had a processor been free."""


class Courtesy:
    """Has threads work one at a time, and pause after it, while others want the processors."""

    def __init__(
        self,
        read: Callable[[], Times | None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        patience: float = _TURN,
        others: Callable[[], float] | None = None,
    ) -> None:
        """Remember how to look.

        Args:
            read: tells what the thread that calls it did; nothing where the system does not say.
            sleep: pauses for some seconds.
            clock: tells the time in seconds.
            patience: seconds that a thread waits for its turn at most.
            others: tells which part of all that is computed is not done for jobs.
        """
        self._read = read or thread_times
        self._sleep = sleep
        self._clock = clock
        self._patience = patience
        self._others = others or Foreground().share
        self._turn = FairLock()
        self._lock = threading.Lock()
        self._since = Times(0.0, 0.0)
        """What threads did in their work since it last told anything."""
        self._contended = False

    @property
    def contended(self) -> bool:
        """Whether others want the processors, as far as the work that ended last could tell."""
        return self._contended

    @property
    def waiting(self) -> int:
        """How many threads wait for their turn."""
        return self._turn.waiting

    @contextmanager
    def working(self, *, is_small: bool = False) -> Iterator[None]:
        """Pause after the block, if processors were wanted by others during it.

        Args:
            is_small: whether it is over so soon that it need not wait until others have had their turn.
        """
        has_turn = self._contended and not is_small and self._turn.acquire(self._patience)
        try:
            before, begun = self._read(), self._clock()
            yield
            self._learn(before, self._read())
            if self._contended:
                self._sleep(min(_LONGEST, _PAUSE * (self._clock() - begun)))
        finally:
            if has_turn:
                self._turn.release()

    def _learn(self, before: Times | None, after: Times | None) -> None:
        """Find out whether others want the processors, from what a thread did."""
        if before is None or after is None:
            return
        # Asked each time, so that what it says is of the last moment.
        wanted = self._others() >= _WANTED
        with self._lock:
            computing = self._since.computing + after.computing - before.computing
            waiting = self._since.waiting + after.waiting - before.waiting
            total = computing + waiting
            if total < _SHORTEST:
                self._since = Times(computing, waiting)
                return
            self._since = Times(0.0, 0.0)
            self._contended = wanted and waiting / total >= _CONTENDED


def thread_times() -> Times | None:
    """Return what the calling thread did, where the system tells."""
    try:
        computing, waiting, _ = _STATISTICS.read_text().split()
    except (OSError, ValueError):
        return None
    return Times(int(computing) / 1e9, int(waiting) / 1e9)
