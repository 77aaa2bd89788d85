"""What the adapter adds to a call: `python -m benchmarks.adapter`.

A batch of 64 digits goes to MLHub's own scikit-learn server through the adapter, and straight: the very same
bytes over urllib3 with a kept connection, its answer not even decoded. Both alternate, so that whatever else
the machine does meets both alike.
"""

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import urllib3
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from skops.io import dumps

from mlhub.common import oip, tensor
from mlhub.common.backend import BackendSettings
from mlhub.common.errors import BackendError
from mlhub.workers.adapters import create_adapter
from mlhub.workers.adapters.base import BackendAdapter

ROWS: Final = 64
_START: Final = 60.0
_VERSION: Final = "1-aaaaaaaa"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000, help="calls each way")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        probe.close()
        repository = Path(name) / "models"
        command = ("serve", "sklearn", "--port", str(port), "--repository", str(repository))
        server = subprocess.Popen([sys.executable, "-m", "mlhub", *command], stderr=subprocess.DEVNULL)
        try:
            _measure(f"http://127.0.0.1:{port}", repository, arguments.calls)
        finally:
            server.terminate()
            server.wait()


def _measure(address: str, repository: Path, calls: int) -> None:
    adapter = create_adapter(BackendSettings(addresses=(address,), repository=repository))
    _wait(adapter)
    pixels, digits = load_digits(return_X_y=True)
    with tempfile.TemporaryDirectory() as files:
        (Path(files) / "model.skops").write_bytes(
            dumps(LogisticRegression(max_iter=3000).fit(pixels, digits))
        )
        adapter.deploy("digits", _VERSION, Path(files))
    inputs = [tensor.encode("input", pixels[:ROWS])]
    body, length = oip.encode_request(inputs, binary=True)
    headers = {"Content-Type": oip.BINARY_TYPE, oip.HEADER_LENGTH: str(length)}
    pool = urllib3.connection_from_url(address, maxsize=1)
    path = f"/v2/models/digits/versions/{_VERSION}/infer"

    def straight() -> bytes:
        return pool.urlopen("POST", path, body=body, headers=headers).data

    def through() -> tuple[tensor.Tensor, ...]:
        return adapter.predict("digits", _VERSION, inputs)

    if not straight().endswith(through()[0].data):
        raise SystemExit("the two ways do not answer alike")
    times: dict[str, list[float]] = {"straight": [], "adapter": []}
    for _ in range(calls):
        for way, call in (("straight", straight), ("adapter", through)):
            times[way].append(_timed(call))
    medians = {way: statistics.median(found) * 1e6 for way, found in times.items()}
    for way, found in times.items():
        p99 = float(np.quantile(found, 0.99)) * 1e6
        print(f"{way:10} p50 {medians[way]:7.0f} µs   p99 {p99:7.0f} µs")
    print(f"ratio of the medians: {medians['adapter'] / medians['straight']:.2f} (at most 1.5)")


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _wait(adapter: BackendAdapter) -> None:
    deadline = time.monotonic() + _START
    while True:
        try:
            return adapter.probe()
        except BackendError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    main()
