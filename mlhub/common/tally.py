"""The numbers that one process counts: plain integers where it works, read only when somebody wants them."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from mlhub.common.metrics import FAMILIES, Family, Kind


class Count:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0
        """Where it stands; whoever counts adds to it."""

    def increase(self) -> None:
        """Count one."""
        self.value += 1


class Histogram:
    """How often values fell into which ranges."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        """Upper ends of the ranges, each part of its range; the last range has no end."""
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        """Sum of all values."""

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Reading(msgspec.Struct, frozen=True, array_like=True):
    """Where one number of a process stood."""

    family: str
    labels: tuple[str, ...] = ()
    """Values of the family's labels, in its order."""
    value: float = 0
    """The number; of a histogram, the sum of its values."""
    counts: tuple[int, ...] = ()
    """Of a histogram, how many values fell into each range."""


_MOST: Final = 500
"""Combinations of labels in a family: a mistake must not fill the memory."""
_OTHER: Final = "other"


class Tally:
    """All numbers of a process, by family and labels.

    What counts often asks once for its number and keeps it; adding to it needs no more than that.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, tuple[str, ...]], Count] = {}
        self._histograms: dict[tuple[str, tuple[str, ...]], Histogram] = {}
        self._gauges: dict[tuple[str, tuple[str, ...]], Callable[[], float]] = {}

    def count(self, family: str, *labels: str) -> Count:
        """Return the number of a family and some labels; the same one for the same."""
        key = self._key(family, Kind.COUNTER, labels, len(self._counts))
        found = self._counts.get(key)
        if found is None:
            found = self._counts[key] = Count()
        return found

    def histogram(self, family: str, *labels: str) -> Histogram:
        """Return the histogram of a family and some labels; the same one for the same."""
        key = self._key(family, Kind.HISTOGRAM, labels, len(self._histograms))
        found = self._histograms.get(key)
        if found is None:
            found = self._histograms[key] = Histogram(FAMILIES[family].bounds)
        return found

    def gauge(self, family: str, read: Callable[[], float], *labels: str) -> None:
        """Have a number read when it is wanted."""
        self._gauges[self._key(family, Kind.GAUGE, labels, len(self._gauges))] = read

    def read(self) -> list[Reading]:
        """Return where all numbers stand."""
        readings = [Reading(family, labels, count.value) for (family, labels), count in self._counts.items()]
        readings += [
            Reading(family, labels, histogram.total, tuple(histogram.counts))
            for (family, labels), histogram in self._histograms.items()
        ]
        readings += [Reading(family, labels, read()) for (family, labels), read in self._gauges.items()]
        return readings

    @staticmethod
    def _key(family: str, kind: Kind, labels: tuple[str, ...], known: int) -> tuple[str, tuple[str, ...]]:
        described = FAMILIES[family]
        _check(described, kind, labels)
        return family, labels if known < _MOST else (_OTHER,) * len(labels)


def _check(family: Family, kind: Kind, labels: tuple[str, ...]) -> None:
    if family.kind is not kind or len(family.labels) != len(labels):
        raise TypeError(f"{family.name} is a {family.kind} with the labels {family.labels}.")
