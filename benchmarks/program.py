"""Servers that a benchmark starts and ends: each with a log of its own, and none outlives it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil

from benchmarks.errors import BenchmarkError
from benchmarks.load import Request, once
from benchmarks.measure import tree

_START: Final = 120.0
"""Seconds that a server has to get ready."""
_END: Final = 15.0
"""Seconds that it has to end by itself."""
_PAUSE: Final = 0.1
_TAIL: Final = 2000
"""Characters of its log that are shown when it fails."""
_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""For all contestants alike: more would fight for the cores over matrices of one row."""


@contextmanager
def program(
    command: Sequence[str],
    log: Path,
    *,
    ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[int]:
    """Run a server until the block ends; yield its process when it is ready.

    Args:
        command: how to start it.
        log: where its output goes.
        ready: tells whether it answers.
        environment: variables on top of this process's own.
        folder: where it runs.

    Raises:
        BenchmarkError: it ends or does not get ready; with the end of its log.
    """
    with log.open("ab") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=os.environ | _ONE_THREAD | dict(environment or {}),
            cwd=folder,
            start_new_session=True,
        )
    try:
        _wait(process, log, ready)
        yield process.pid
    finally:
        end(process)


def answers(origin: str, path: str) -> Callable[[], bool]:
    """Return what tells whether a server answers a GET well."""

    def ready() -> bool:
        with suppress(BenchmarkError):
            once(origin, Request(method="GET", path=path), timeout=5)
            return True
        return False

    return ready


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a server and everything that it started."""
    # Asked for first: children whose parent is gone cannot be found any more.
    family = tree(process.pid)
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END)
    _, left = psutil.wait_procs(family, timeout=2)
    for member in left:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()
    psutil.wait_procs(left, timeout=5)


def _wait(process: "subprocess.Popen[bytes]", log: Path, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START
    while not ready():
        if process.poll() is not None:
            raise BenchmarkError(f"{process.args!r} ended with {process.returncode}: {_tail(log)}")
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{process.args!r} does not get ready: {_tail(log)}")
        time.sleep(_PAUSE)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-_TAIL:]
