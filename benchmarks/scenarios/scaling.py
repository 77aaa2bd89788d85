"""Two API processes and two predict workers against one of each."""

from typing import Final

from benchmarks import digits
from benchmarks.bench import Bench, Point
from benchmarks.contestants.hub import Hub

NAME: Final = "scaling"
TITLE: Final = "Two API processes and two predict workers against one of each, 256 clients"
ONE: Final = "hub, 1 API process and 1 predict worker"
TWO: Final = "hub, 2 API processes and 2 predict workers"
CLIENTS: Final = "256"


def measure(bench: Bench) -> None:
    """Have both sizes answer the same question."""
    hubs = [
        Hub(bench.workspace, title=ONE),
        Hub(bench.workspace, title=TWO, variables={"MLHUB_API_PROCESSES": "2"}, workers=2),
    ]
    bench.compare(NAME, hubs, [Point(CLIENTS, int(CLIENTS), digits.NAME)])
