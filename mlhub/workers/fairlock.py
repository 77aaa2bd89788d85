"""A lock that threads get in the order in which they came."""

import threading
from collections import deque


class FairLock:
    """One thread has it at a time; Python's own goes to whoever is quickest, mostly the one that had it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_taken = False
        self._waiting: deque[threading.Event] = deque()

    @property
    def waiting(self) -> int:
        """How many threads wait for it."""
        return len(self._waiting)

    def acquire(self, timeout: float) -> bool:
        """Take it, after waiting for `timeout` seconds at most; tell whether it was."""
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return True
            mine = threading.Event()
            self._waiting.append(mine)
        mine.wait(timeout)
        with self._lock:
            # It may have come at the last moment.
            if not mine.is_set():
                self._waiting.remove(mine)
            return mine.is_set()

    def release(self) -> None:
        """Leave it to the one that has waited longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._is_taken = False
