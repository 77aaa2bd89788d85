"""How long a million rows take from file to file, and how much memory each process needs for them.

    python -m benchmarks.bulk [--rows 1000000] [--json]

A hub is started as a user does it, and its sample model of digits predicts a float32 array of 64 numbers a
row, sent and saved by the client. The output is compared with what single calls give. Then single jobs are
submitted beside it one after the other, as another user does: what they take shows what it costs others.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from benchmarks.errors import BenchmarkError
from benchmarks.hub import hub_parts, running_hub
from mlhub.client import Client
from mlhub.client.job import succeeded
from mlhub.common.tensor import Array

_MODEL: Final = "digits"
_MIB: Final = 1024 * 1024
_AT_ONCE: Final = 50_000
"""Rows made at once: the file's size must not show in this process."""


def digits() -> Array:
    """Return pictures of digits: [1797, 64], float32."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 (its time is not to be measured)

    pictures: Array = load_digits().data.astype("f4")
    return pictures


def write_rows(path: Path, pictures: Array, rows: int) -> None:
    """Write a file of so many rows, the pictures again and again."""
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, pictures.shape[1])}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, rows, _AT_ONCE):
            places = np.arange(start, min(start + _AT_ONCE, rows)) % len(pictures)
            file.write(pictures[places].tobytes())


def bulk(url: str, source: Path, target: Path) -> dict[str, float]:
    """Predict a file; return the seconds of each step."""
    with Client(url) as hub:
        started = time.perf_counter()
        job = hub.submit_file(_MODEL, source)
        sent = time.perf_counter()
        succeeded(job.follow())
        done = time.perf_counter()
        job.save(target)
        saved = time.perf_counter()
    return {
        "send": sent - started,
        "predict": done - sent,
        "save": saved - done,
        "total": saved - started,
    }


@contextmanager
def single_jobs(url: str, row: Array) -> Iterator[list[float]]:
    """Submit one job after the other until the block ends; yield the list of the seconds that each took."""
    ended = threading.Event()
    seconds: list[float] = []

    def run() -> None:
        with Client(url) as hub:
            while not ended.is_set():
                started = time.perf_counter()
                hub.submit(_MODEL, row).result(60)
                seconds.append(time.perf_counter() - started)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield seconds
    finally:
        ended.set()
        thread.join()


def peak(process: psutil.Process) -> float:
    """Return the most memory that a process ever had, in MiB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / _MIB


def check(target: Path, expected: Array, rows: int) -> None:
    """Compare a file of outputs with what single calls gave.

    Raises:
        BenchmarkError: they differ.
    """
    output = np.load(target, mmap_mode="r")
    if not np.array_equal(output, np.resize(expected, rows)):
        raise BenchmarkError("The file of outputs is not what single calls give.")


def measure(rows: int) -> dict[str, Any]:
    """Measure all of it."""
    pictures = digits()
    with tempfile.TemporaryDirectory(prefix="mlhub-bulk-") as name, running_hub(Path(name) / "hub") as url:
        folder = Path(name)
        source, target = folder / "rows.npy", folder / "outputs.npy"
        write_rows(source, pictures, rows)
        with Client(url) as hub:
            expected = hub.predict(_MODEL, pictures)
            succeeded(hub.submit(_MODEL, pictures[0]).wait(60))
        # As a process of its own, whose memory is its own as well.
        script = (
            "import json, sys, pathlib, benchmarks.bulk as b;"
            "print(json.dumps(b.bulk(sys.argv[1], *map(pathlib.Path, sys.argv[2:]))))"
        )
        command = [sys.executable, "-c", script, url, str(source), str(target)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
            said = client.stdout.read() if client.stdout else b""
            _, status, usage = os.wait4(client.pid, 0)
            client.returncode = status
        if status:
            raise BenchmarkError("The client failed.")
        check(target, expected, rows)
        memory = {
            part: max(map(peak, processes)) for part, processes in hub_parts(folder / "hub").items()
        } | {"client": usage.ru_maxrss * 1024 / _MIB}
        with single_jobs(url, pictures[0]) as seconds:
            bulk(url, source, target)
    return {
        "rows": rows,
        "bytes": rows * pictures.shape[1] * 4,
        "seconds": json.loads(said),
        "peak_mib": memory,
        "single_jobs": {
            "count": len(seconds),
            "median_seconds": statistics.median(seconds),
            "longest_seconds": max(seconds),
        },
    }


def report(found: dict[str, Any]) -> None:
    """Print the figures for people."""
    print(f"{found['rows']:,} rows, {found['bytes'] / _MIB:.0f} MiB")
    for step, seconds in found["seconds"].items():
        print(f"  {step:<14}{seconds:7.2f} s")
    print("most memory of a process")
    for part, size in sorted(found["peak_mib"].items()):
        print(f"  {part:<14}{size:7.0f} MiB")
    jobs = found["single_jobs"]
    print(
        f"single jobs meanwhile: {jobs['count']}, median {jobs['median_seconds'] * 1000:.0f} ms, "
        f"longest {jobs['longest_seconds'] * 1000:.0f} ms"
    )


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    found = measure(arguments.rows)
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        report(found)


if __name__ == "__main__":
    main()
