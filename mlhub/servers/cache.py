"""The models in memory: bounded by bytes, what was used least recently goes first."""

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")
Key = tuple[str, str]
"""Model and version."""


class ModelCache(Generic[V]):
    """Values with the bytes they take. All methods may be called from any thread."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._values: OrderedDict[Key, V] = OrderedDict()
        self._sizes: dict[Key, int] = {}
        """Bytes of each value, and of each that room is kept for."""

    def __len__(self) -> int:
        """Return how many values there are."""
        with self._lock:
            return len(self._values)

    @property
    def used(self) -> int:
        """Bytes of all values and of the room kept for others."""
        with self._lock:
            return sum(self._sizes.values())

    def get(self, key: Key) -> V | None:
        """Return a value and note that it was used now."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def items(self) -> list[tuple[Key, V]]:
        """Return all values, the least recently used first, without counting that as a use."""
        with self._lock:
            return list(self._values.items())

    def make_room(self, key: Key, size: int) -> list[Key]:
        """Keep `size` bytes for a value to come, in place of any there is; return what had to go."""
        with self._lock:
            self._values.pop(key, None)
            self._sizes[key] = size
            return self._evict(key)

    def put(self, key: Key, value: V, size: int) -> list[Key]:
        """Keep a value of `size` bytes; return what had to go for it."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            self._sizes[key] = size
            return self._evict(key)

    def discard(self, key: Key, value: V) -> bool:
        """Let go of a value unless another one took its place; tell whether it was there."""
        with self._lock:
            if self._values.get(key) is not value:
                return False
            del self._values[key], self._sizes[key]
            return True

    def release(self, key: Key) -> None:
        """Give up the room kept for a value that did not come."""
        with self._lock:
            if key not in self._values:
                self._sizes.pop(key, None)

    def _evict(self, kept: Key) -> list[Key]:
        evicted = []
        while sum(self._sizes.values()) > self._capacity:
            oldest = next((key for key in self._values if key != kept), None)
            if oldest is None:
                break
            del self._values[oldest], self._sizes[oldest]
            evicted.append(oldest)
        return evicted
