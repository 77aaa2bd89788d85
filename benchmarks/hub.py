"""A hub of its own for a benchmark, started as a user starts it and stopped again."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from mlhub.local import processes


class RunningHub(msgspec.Struct, frozen=True):
    """Where it is, and what starting it took."""

    url: str
    folder: Path
    seconds: float
    """How long `mlhub up` took."""

    def memory(self) -> dict[str, int]:
        """Return the resident bytes of each of its processes."""
        sizes: dict[str, int] = {}
        for process in processes.find(self.folder):
            try:
                name = " ".join(process.cmdline()[1:6])[:60]
                sizes[f"{process.pid} {name}"] = process.memory_info().rss
            except psutil.Error:
                continue
        return sizes


@contextmanager
def running_hub(**variables: str) -> Iterator[RunningHub]:
    """Start a hub with its sample model in a folder of its own; `variables` are settings."""
    with tempfile.TemporaryDirectory(prefix="mlhub-bench-") as name:
        folder = Path(name).resolve() / "data"
        port = _free_port()
        command = [sys.executable, "-m", "mlhub"]
        place = ["--data", str(folder)]
        started = time.monotonic()
        try:
            subprocess.run(
                [*command, "up", *place, "--port", str(port)],
                check=True,
                env=os.environ | variables,
                stdout=subprocess.DEVNULL,
            )
            yield RunningHub(f"http://127.0.0.1:{port}", folder, time.monotonic() - started)
        finally:
            subprocess.run([*command, "down", *place], check=True, stdout=subprocess.DEVNULL)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
