"""Wide rows: from 10 to 100,000 features."""

from typing import Final

from benchmarks.bench import Bench, Point
from benchmarks.contestants.base import Contestant
from benchmarks.contestants.hub import Hub
from benchmarks.contestants.own import OwnServer, infer
from benchmarks.hub import Published
from benchmarks.load import json_request
from benchmarks.models import linear, row

NAME: Final = "rows"
TITLE: Final = "Rows of 10, 1,000 and 100,000 features, JSON, 16 clients"

_CLIENTS: Final = 16


def measure(bench: Bench) -> None:
    """Ask the hub and its own server for a prediction from one row."""
    widths = {f"{width:,}": width for width in (10, 1_000, 100_000)}
    bundles = {f"rows-{width}": linear(width) for width in widths.values()}
    published = {
        f"rows-{width}": Published(
            bundle=bundles[f"rows-{width}"],
            requests=(json_request(f"/model/rows-{width}/predict", {"input": row(width)}),),
        )
        for width in widths.values()
    }
    direct = {
        f"rows-{width}": (json_request(infer(f"rows-{width}"), {"inputs": [_tensor(width)]}),)
        for width in widths.values()
    }
    contestants: list[Contestant] = [
        Hub(bench.workspace, folder="rows", models=published),
        OwnServer(bench.workspace, bundles=bundles, requests=direct),
    ]
    points = [Point(name, _CLIENTS, f"rows-{width}") for name, width in widths.items()]
    bench.compare(NAME, contestants, points)


def _tensor(width: int) -> dict[str, object]:
    return {"name": "input", "datatype": "FP64", "shape": [1, width], "data": row(width)}
