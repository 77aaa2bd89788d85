"""The comparison: one row of 64 features a request, from one client to a thousand."""

from typing import Final

from benchmarks import digits
from benchmarks.bench import Bench, Point
from benchmarks.contestants.base import Contestant
from benchmarks.contestants.ceiling import HttpAlone
from benchmarks.contestants.hub import Hub, HubWithMLServer
from benchmarks.contestants.mlserver import MLServer
from benchmarks.contestants.others import others
from benchmarks.contestants.own import OwnServer
from benchmarks.workspace import Workspace

NAME: Final = "digits"
TITLE: Final = "One row of 64 features a request: the hub, and servers called directly"

_QUICK: Final = (1, 64, 256)
"""Numbers of clients in a quick run."""
_QUICK_CONTESTANTS: Final = ("hub", "hub-mlserver", "own", "mlserver", "http")
"""Contestants of a quick run: the others take most of its time to start."""


def contestants(workspace: Workspace) -> list[Contestant]:
    """Return all that take part."""
    return [
        Hub(workspace),
        HubWithMLServer(workspace),
        OwnServer(workspace),
        MLServer(workspace),
        *others(workspace),
        HttpAlone(workspace),
    ]


def point(clients: int) -> str:
    """Name a point."""
    return str(clients)


def measure(bench: Bench) -> None:
    """Have all contestants answer the same question."""
    wanted = bench.options.clients
    counts = [count for count in wanted if not bench.options.quick or count in _QUICK]
    points = [Point(point(count), count, digits.NAME) for count in counts]
    taking_part = contestants(bench.workspace)
    if bench.options.quick:
        taking_part = [one for one in taking_part if one.name in _QUICK_CONTESTANTS]
    bench.compare(NAME, bench.available(taking_part), points)
