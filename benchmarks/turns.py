"""What clients that wait get by turns, without and with something beside them.

A machine's own changes of speed meet turns of both kinds alike.
"""

import statistics
from collections.abc import Iterator, Sequence

import msgspec

from benchmarks.load import Load


class Turns(msgspec.Struct, frozen=True):
    """What was measured; as many turns without as with it, each right after the other."""

    without: tuple[Load, ...]
    beside: tuple[Load, ...]

    @property
    def p50s(self) -> tuple[float, float]:
        """Milliseconds of the median request, without and with it."""
        return _p50(self.without), _p50(self.beside)

    @property
    def p99s(self) -> tuple[float, float]:
        """Milliseconds of the slowest hundredth, without and with it."""
        return _p99(self.without), _p99(self.beside)

    @property
    def ratios(self) -> list[float]:
        """How many times as long the slowest hundredth waits beside it, in ascending order."""
        return sorted(self._ratios())

    @property
    def ratio(self) -> float:
        """The median of them."""
        return statistics.median(self._ratios())

    def _ratios(self) -> Iterator[float]:
        for without, beside in zip(self.without, self.beside, strict=True):
            yield beside.p99 / without.p99


def _p50(loads: Sequence[Load]) -> float:
    return statistics.median(load.p50 for load in loads)


def _p99(loads: Sequence[Load]) -> float:
    return statistics.median(load.p99 for load in loads)
