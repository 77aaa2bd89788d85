"""What is done again and again for as long as a process runs: looks for lost work, upkeep, deliveries."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec

from mlhub.common.errors import MLHubError

_LOG = logging.getLogger(__name__)


class Pauses(msgspec.Struct, frozen=True):
    """Seconds between rounds."""

    interval: float
    """After one."""
    first: float = 0.0
    """Before the first one."""
    retry: float | None = None
    """After one that was hindered; by itself as after any other."""
    idle: float = 0.0
    """Times the length of a round that pass at least: a long one must not keep others busy all the time."""

    def after(self, seconds: float, *, is_done: bool) -> float:
        """Return how long to pause after a round that took so many seconds."""
        usual = self.interval if is_done or self.retry is None else self.retry
        return max(usual, self.idle * seconds)


def _nothing() -> None:
    """Leave everything as it is."""


class Rounds:
    """Does something every so often in a thread of its own, until it is stopped; no failure ends it."""

    def __init__(
        self,
        name: str,
        work: Callable[[], object],
        pauses: Pauses,
        *,
        stopping: threading.Event | None = None,
        clear: Callable[[], None] = _nothing,
        level: int = logging.WARNING,
    ) -> None:
        """Prepare; nothing is done before `start`.

        Args:
            name: of the thread, and in the log.
            work: what is done.
            pauses: between two rounds.
            stopping: set by `stop`, for work that is to end early then.
            clear: done after the last round.
            level: at which the log has it that something hinders a round, as a database that is away does.
        """
        self._name: Final = name
        self._work = work
        self._pauses = pauses
        self._stopping = stopping or threading.Event()
        self._clear = clear
        self._level = level
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the round that is under way."""
        self._stopping.set()
        # A process that fails to start has begun nothing.
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        pause = self._pauses.first
        while not self._stopping.wait(pause):
            began = time.monotonic()
            is_done = self._is_done()
            pause = self._pauses.after(time.monotonic() - began, is_done=is_done)
        try:
            self._clear()
        except MLHubError as error:
            _LOG.info("%s ended without clearing up: %s", self._name, error)

    def _is_done(self) -> bool:
        """Go one round; tell whether nothing hindered it."""
        try:
            self._work()
        except MLHubError as error:
            _LOG.log(self._level, "%s put off: %s", self._name, error)
            return False
        except Exception:  # noqa: BLE001 (the edge of this thread: one surprise must not end it)
            _LOG.exception("%s failed", self._name)
        return True
