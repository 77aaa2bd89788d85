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
"""Seconds of computing and waiting that tell anything."""
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
        self._turn = threading.Lock()
        self._contended = False

    @contextmanager
    def working(self) -> Iterator[None]:
        """Pause after the block, if processors were wanted by others during it."""
        has_turn = self._contended and self._turn.acquire(timeout=self._patience)
        try:
            before, begun = self._read(), self._clock()
            yield
            after = self._read()
            # Asked each time, so that what it says is of the last moment.
            wanted = self._others() >= _WANTED
            self._contended = (
                wanted and before is not None and after is not None and _is_contended(before, after)
            )
            if self._contended:
                self._sleep(min(_LONGEST, _PAUSE * (self._clock() - begun)))
        finally:
            if has_turn:
                self._turn.release()


def thread_times() -> Times | None:
    """Return what the calling thread did, where the system tells."""
    try:
        computing, waiting, _ = _STATISTICS.read_text().split()
    except (OSError, ValueError):
        return None
    return Times(int(computing) / 1e9, int(waiting) / 1e9)


def _is_contended(before: Times, after: Times) -> bool:
    computing, waiting = after.computing - before.computing, after.waiting - before.waiting
    total = computing + waiting
    return total >= _SHORTEST and waiting / total >= _CONTENDED
