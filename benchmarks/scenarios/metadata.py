"""Metadata: one entry, and a page of the list, on the embedded database."""

from typing import Final

from benchmarks import digits
from benchmarks.bench import Bench, Point
from benchmarks.contestants.hub import Hub
from benchmarks.hub import Published
from benchmarks.load import Request

NAME: Final = "metadata"
TITLE: Final = "Metadata, 16 clients"
ENTRY: Final = "GET /model/{name}"
LIST: Final = "GET /models?limit=20"

_ENTRIES: Final = 40
"""So that the page is full, and not the last."""


def measure(bench: Bench) -> None:
    """Ask for both."""
    requests = {
        ENTRY: (Request(method="GET", path=f"/model/{digits.NAME}"),),
        LIST: (Request(method="GET", path="/models?limit=20"),),
    }
    bundle = digits.trained().bundle
    models = {f"metadata-{number:02}": Published(bundle=bundle) for number in range(_ENTRIES)}
    hub = Hub(bench.workspace, folder="metadata", models=models, requests=requests)
    bench.compare(NAME, [hub], [Point(ENTRY, 16, ENTRY), Point(LIST, 16, LIST)])
