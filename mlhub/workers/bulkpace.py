"""How many rows to send at once: as many as a model server works off in a moment, whatever the model."""

import threading
from typing import Final

_FIRST: Final = 256
"""Rows of the first call of a version."""
_MOST: Final = 16_384
_AIM: Final = 0.25
"""Seconds that a call may take: others wait that long for the server, and for the worker twice as long."""
_GROWTH: Final = 16
"""How many times as many rows a call may have as the one before: small ones tell little of large ones."""


class BulkPace:
    """Remembers for each version how many rows to send, and learns from each call; for many threads."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._lock = threading.Lock()

    def rows(self, deployment: str) -> int:
        """Return how many rows the next call is to have."""
        return self._rows.get(deployment, _FIRST)

    def took(self, deployment: str, rows: int, seconds: float) -> None:
        """Learn from a call."""
        fitting = int(rows * _AIM / max(seconds, 1e-6))
        with self._lock:
            before = self._rows.get(deployment, _FIRST)
            if rows < before and fitting >= before:
                # The last rows of a chunk, which say nothing of a full call.
                return
            self._rows[deployment] = max(1, min(fitting, rows * _GROWTH, _MOST))

    def slower(self, deployment: str) -> None:
        """Send fewer rows, since a call took too long to be answered."""
        with self._lock:
            self._rows[deployment] = max(1, self._rows.get(deployment, _FIRST) // _GROWTH)
