"""Many models in use at once: each request goes to the next of them, so that their batches stay small."""

from typing import Final

from benchmarks import digits
from benchmarks.bench import Bench, Point
from benchmarks.contestants.hub import Hub
from benchmarks.hub import Published
from benchmarks.load import json_request

NAME: Final = "models"
TITLE: Final = "1 to 1,000 models in use at once, 64 clients"

_COUNTS: Final = (1, 10, 100, 1000)
_CLIENTS: Final = 64


def measure(bench: Bench) -> None:
    """Ask ever more models."""
    bundle = digits.trained().bundle
    names = [f"many-{number:04}" for number in range(max(_COUNTS))]
    requests = [json_request(f"/model/{name}/predict", digits.hub_body()) for name in names]
    hub = Hub(
        bench.workspace,
        folder="models",
        models={name: Published(bundle=bundle) for name in names},
        requests={str(count): tuple(requests[:count]) for count in _COUNTS},
    )
    bench.compare(NAME, [hub], [Point(f"{count:,}", _CLIENTS, str(count)) for count in _COUNTS], rounds=1)
