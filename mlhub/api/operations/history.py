"""The last hour in points: how much was predicted, how fast, and what failed."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from mlhub.common import metrics
from mlhub.common.metrics import FAMILIES
from mlhub.common.operations import Point
from mlhub.common.tally import Reading

STEP: Final = 10.0
"""Seconds between two points."""
_HOUR: Final = 360
"""Points that are kept."""
_FAILED: Final = "5"
"""How statuses begin that are the hub's own failures."""
_PROBES: Final = ("/health/", "/v2/health/")
_PREDICTING: Final = ("/predict", "/predict/image", "/infer")
"""Ends of the routes of predictions."""


class History:
    """Makes points of what processes counted; a process that is new begins with what it counts from then."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self.points: deque[Point] = deque(maxlen=_HOUR)
        self._known: dict[str, Counted] = {}
        self._last: float | None = None

    def recall(self, before: Iterable[Point]) -> None:
        """Put points in front that were taken before this process began.

        Args:
            before: points in the order of time; those that this process took itself are left out.
        """
        own = list(self.points)
        start = own[0].time - STEP / 2 if own else float("inf")
        self.points = deque([*(point for point in before if point.time < start), *own], maxlen=_HOUR)

    def take(self, processes: Iterable[tuple[str, Sequence[Reading]]]) -> Point | None:
        """Add a point; the first time there is none yet.

        Args:
            processes: numbers of all that live, by the name of the process.
        """
        time = self._now()
        counted = {name: Counted.of(readings) for name, readings in processes}
        changes = [new.since(self._known[name]) for name, new in counted.items() if name in self._known]
        seconds = None if self._last is None else time - self._last
        self._known, self._last = counted, time
        if seconds is None or seconds <= 0:
            return None
        total = sum(changes, Counted())
        count = sum(total.times)
        point = Point(
            time=round(time, 1),
            requests=round(count / seconds, 2),
            failures=round(total.failures / seconds, 3),
            median=total.quantile(0.5),
            slow=total.quantile(0.95),
        )
        self.points.append(point)
        return point


def _is_failure(route: str, method: str, status: str) -> bool:
    del method
    # Whoever asks how the hub is wants to hear of failures.
    return status.startswith(_FAILED) and not route.startswith(_PROBES)


class Counted(msgspec.Struct, frozen=True):
    """What one process counted, or several together, as far as it matters here."""

    failures: float = 0
    times: tuple[int, ...] = (0,) * (len(FAMILIES[metrics.HTTP_TIME].bounds) + 1)
    """Predictions by the range that their time fell into."""

    @classmethod
    def of(cls, readings: Iterable[Reading]) -> "Counted":
        """Sum up the numbers of a process."""
        failures = 0.0
        times = list(cls().times)
        for reading in readings:
            if reading.family == metrics.HTTP_REQUESTS and _is_failure(*reading.labels):
                failures += reading.value
            elif (
                reading.family == metrics.HTTP_TIME
                and reading.labels[0].endswith(_PREDICTING)
                # Those of another version of the hub may have other ranges.
                and len(reading.counts) == len(times)
            ):
                times = [sum(pair) for pair in zip(times, reading.counts, strict=True)]
        return cls(failures, tuple(times))

    def since(self, before: "Counted") -> "Counted":
        """Return what came since then."""
        times = tuple(max(0, new - old) for new, old in zip(self.times, before.times, strict=True))
        return Counted(max(0.0, self.failures - before.failures), times)

    def __add__(self, other: "Counted") -> "Counted":
        times = tuple(sum(pair) for pair in zip(self.times, other.times, strict=True))
        return Counted(self.failures + other.failures, times)

    def quantile(self, part: float) -> float | None:
        """Return the time within which `part` of the predictions were answered, as far as ranges tell."""
        wanted = part * sum(self.times)
        if wanted == 0:
            return None
        bounds = FAMILIES[metrics.HTTP_TIME].bounds
        below, start = 0, 0.0
        for count, end in zip(self.times, (*bounds, bounds[-1]), strict=True):
            if below + count >= wanted:
                # As if those of a range were spread evenly over it.
                return round(start + (end - start) * (wanted - below) / count, 5)
            below, start = below + count, end
        return None
