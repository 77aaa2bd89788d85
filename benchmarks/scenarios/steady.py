"""Steady load: whether throughput and memory stay as they are."""

import time
from typing import Final

from benchmarks import digits
from benchmarks.bench import Bench, Point
from benchmarks.contestants.hub import Hub
from benchmarks.results import Sample

NAME: Final = "steady"
TITLE: Final = "Steady load from 64 clients"
GROWTH: Final = "growth of the memory of all parts, from the second fifth of the time to the last"

_PIECES: Final = 30
"""Measurements, one after another."""
_CLIENTS: Final = 64


def measure(bench: Bench) -> None:
    """Load a hub without a pause, and look at it now and then."""
    started = time.monotonic()
    piece = max(2.0, bench.options.steady / _PIECES)
    hub = Hub(bench.workspace, folder="steady")
    with hub.running() as running:
        while time.monotonic() - started < bench.options.steady:
            seconds = time.monotonic() - started
            bench.tell(f"{NAME}: {seconds:.0f} of {bench.options.steady:.0f} s")
            point = Point(f"{seconds:.0f} s", _CLIENTS, digits.NAME)
            bench.measure(NAME, hub.title, running, point, seconds=piece)
    bench.note(NAME, GROWTH, growth(bench.run.of(NAME)), "%")


def growth(samples: list[Sample]) -> float:
    """Return by how many percent the memory in the last fifth exceeds that in the second.

    The first fifth does not count: buffers and caches fill in it.
    """
    sizes = [sum(part.memory for part in sample.usage) for sample in samples]
    fifth = max(1, len(sizes) // 5)
    early, late = sizes[fifth : 2 * fifth] or sizes, sizes[-fifth:]
    return (sum(late) / len(late) / (sum(early) / len(early)) - 1) * 100
