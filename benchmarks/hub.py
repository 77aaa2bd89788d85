"""A hub, started and stopped as a user does it, and the models that are put into it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil

from benchmarks.errors import BenchmarkError
from benchmarks.load import Request
from benchmarks.measure import Parts
from benchmarks.workspace import free_port
from mlhub.client import Client, HubError
from mlhub.local import processes

SERVER: Final = "model server"
FRAMEWORKS: Final = {"MLHUB_FRAMEWORKS": '["sklearn"]'}
_ENVIRONMENT: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def start(folder: Path, port: int, variables: Mapping[str, str]) -> None:
    """Run `mlhub up`.

    Raises:
        BenchmarkError: it fails.
    """
    command = [sys.executable, "-m", "mlhub", "up", "--data", str(folder), "--port", str(port)]
    environment = os.environ | FRAMEWORKS | _ENVIRONMENT | dict(variables)
    ended = subprocess.run(
        command, check=False, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if ended.returncode != 0:
        raise BenchmarkError(f"mlhub up failed: {ended.stdout[-2000:]} {ended.stderr[-2000:]}")


def stop(folder: Path) -> None:
    """Run `mlhub down`."""
    command = [sys.executable, "-m", "mlhub", "down", "--data", str(folder)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if ended.returncode != 0:
        raise BenchmarkError(f"mlhub down failed: {ended.stderr[-2000:]}")


@contextmanager
def running_hub(folder: Path, variables: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a hub until the block ends; yield its origin."""
    port = free_port()
    try:
        start(folder, port, variables or {})
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(folder)


def hub_parts(folder: Path) -> Parts:
    """Return the processes of the hub in a folder by what they do."""
    parts: dict[str, list[psutil.Process]] = {}
    for process in processes.find(folder.resolve()):
        if words := processes.command_line(process):
            parts.setdefault(part_of(words), []).append(process)
    return parts


def part_of(command: list[str]) -> str:
    """Name the part of the hub that a command line belongs to."""
    words = set(command)
    if "mlhub" in words:
        if "worker" in words:
            return "predict worker" if "predict" in words else "job worker"
        for word, part in (("serve", SERVER), ("api", "API")):
            if word in words:
                return part
    if processes.WATCHER in words:
        return "watcher"
    return "database" if any("secantusd" in word for word in command) else "RabbitMQ"


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """A model that a scenario needs in the hub."""

    bundle: bytes
    type: str = "ScikitLearn"
    fields: dict[str, Any] = {}
    """More of its entry."""
    requests: tuple[Request, ...] = ()
    """What to ask of it."""


def publish(origin: str, models: Mapping[str, Published]) -> None:
    """Upload models that are not there, and wait until they are ready.

    Raises:
        BenchmarkError: one does not get ready.
    """
    with Client(origin, timeout=300) as client, ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda item: _publish(client, *item), models.items()))


def _publish(client: Client, name: str, model: Published) -> None:
    try:
        if client.model(name).state == "ready":
            return
    except HubError as error:
        if error.code != "model_not_found":
            raise BenchmarkError(str(error)) from error
        client.create(name, type=model.type, **model.fields)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.tar.gz"
        path.write_bytes(model.bundle)
        try:
            state = client.upload(name, path, wait=120).state
        except HubError as error:
            raise BenchmarkError(f"{name} is not taken: {error}") from error
    if state != "ready":
        raise BenchmarkError(f"{name} does not get ready; it is {state}.")
