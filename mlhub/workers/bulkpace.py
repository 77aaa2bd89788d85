"""How many rows to send at once: as many as a model server works off in a moment, whatever the model."""

import threading
from typing import Final

_FIRST: Final = 256
"""Rows of the first call of a version."""
_MOST: Final = 16_384
_AIM: Final = 0.25
"""Seconds that a call may take: others wait that long for the server, and for the worker twice as long."""
_BRIEF: Final = 0.1
"""Seconds that one may take while others want the processors, and a pause follows. Shorter ones would hold
them up as much, since some of a call takes as long with few rows."""
_GROWTH: Final = 16
"""How many times as many rows a call may have as the one before: small ones tell little of large ones."""


class BulkPace:
    """Remembers for each version how many rows to send, and learns from each call; for many threads."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._lock = threading.Lock()

    def rows(self, deployment: str, *, brief: bool = False) -> int:
        """Return how many rows the next call is to have; for a brief one, a part of what it may have."""
        rows = self._rows.get(deployment, _FIRST)
        return max(1, int(rows * _BRIEF / _AIM)) if brief else rows

    def took(self, deployment: str, rows: int, seconds: float, *, brief: bool = False) -> None:
        """Learn from a call, which was to be brief or not."""
        fitting = rows * _AIM / max(seconds, 1e-6)
        with self._lock:
            before = self._rows.get(deployment, _FIRST)
            if rows < self.rows(deployment, brief=brief) and int(fitting) >= before:
                # The last rows of a chunk, which say nothing of a full call.
                return
            self._rows[deployment] = max(1, min(int(fitting), rows * _GROWTH, _MOST))

    def slower(self, deployment: str) -> None:
        """Send fewer rows, since a call took too long to be answered."""
        with self._lock:
            self._rows[deployment] = max(1, self._rows.get(deployment, _FIRST) // _GROWTH)
