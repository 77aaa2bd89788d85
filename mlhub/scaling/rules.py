"""The rules of automatic scaling: from what is seen of a queue to how many processes its pool should have.

Nothing here looks at a clock, a queue or a pool.
"""

import math

import msgspec

from mlhub.common.pool import PoolSettings


class Sample(msgspec.Struct, frozen=True):
    """What is seen of a queue at one moment."""

    waiting: int
    """Messages that nobody has taken yet."""
    age: float
    """Seconds that the oldest of them has waited, or the oldest work that has no message yet; else 0."""


class Need(msgspec.Struct, frozen=True):
    """How many processes a moment called for."""

    time: float
    """Seconds, of any clock that only goes forward."""
    count: int


class Rules:
    """The rules of one pool, with what they remember of its load."""

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._needs: list[Need] = []
        """Those of the last `pause` seconds, each larger than all that came after it."""
        self._watched_since: float | None = None

    def decide(self, now: float, desired: int, sample: Sample) -> int:
        """Return how many processes the pool should have.

        It grows at once: to so many that each has no more than `messages` waiting for it, or by one when the
        oldest has waited longer than `age`. It shrinks by one process once all needs of the last `pause`
        seconds were smaller; then that time begins anew.

        Args:
            now: seconds, of a clock that only goes forward.
            desired: processes that it should have at present.
            sample: of its queue.
        """
        settings = self._settings
        # What the processes at hand have taken is theirs; what still waits is for those to come.
        need = self._need(desired, sample)
        if need > desired:
            self._restart(now)
            return settings.bounded(need)
        if self._watched_since is None:
            self._watched_since = now
        self._needs = [kept for kept in self._needs if kept.count > need and kept.time > now - settings.pause]
        self._needs.append(Need(now, need))
        if now - self._watched_since >= settings.pause and self._needs[0].count < desired:
            self._restart(now)
            return settings.bounded(desired - 1)
        return settings.bounded(desired)

    def _need(self, desired: int, sample: Sample) -> int:
        wanted = math.ceil(sample.waiting / self._settings.messages)
        if sample.age > self._settings.age:
            return max(wanted, desired + 1)
        return wanted

    def _restart(self, now: float) -> None:
        self._needs = []
        self._watched_since = now
