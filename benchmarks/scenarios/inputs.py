"""Large inputs: arrays of 1 to 64 MiB in one request."""

import io
from typing import Any, Final

import numpy as np

from benchmarks import digits
from benchmarks.bench import Bench, Point
from benchmarks.contestants.hub import Hub
from benchmarks.load import Request
from benchmarks.measure import MIB

NAME: Final = "inputs"
TITLE: Final = "Inputs of 1 to 64 MiB, npy, 2 clients"

_SIZES: Final = (1, 4, 16, 64)
_CLIENTS: Final = 2
_ROW: Final = 64 * 8
"""Bytes."""
_LIMIT: Final = 128 * MIB
"""Beyond what the API takes by default."""


def measure(bench: Bench) -> None:
    """Send many rows of digits at once."""
    requests = {f"{size} MiB": (_request(size),) for size in _SIZES}
    hub = Hub(
        bench.workspace, folder="inputs", variables={"MLHUB_MAX_JSON_BYTES": str(_LIMIT)}, requests=requests
    )
    bench.compare(NAME, [hub], [Point(name, _CLIENTS, name) for name in requests])


def _request(size: int) -> Request:
    pixels: Any = np.array(digits.trained().digit.pixels, dtype=np.float64)
    body = io.BytesIO()
    np.save(body, np.tile(pixels, (size * MIB // _ROW, 1)))
    return Request(
        path=f"/model/{digits.NAME}/predict",
        headers={"Content-Type": "application/x-npy", "Accept": "application/x-npy"},
        body=body.getvalue(),
    )
