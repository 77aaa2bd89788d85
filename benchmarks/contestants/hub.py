"""The hub, started as a user starts it, in front of its own model server or of another one."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
import psutil

from benchmarks import digits
from benchmarks.contestants.base import Running
from benchmarks.contestants.environment import own_versions
from benchmarks.contestants.mlserver import MLServer
from benchmarks.errors import BenchmarkError
from benchmarks.load import Request, json_request
from benchmarks.machine import output
from benchmarks.measure import Parts
from benchmarks.workspace import Workspace, free_port
from mlhub.local import processes
from mlhub.local.program import Plan

SERVER: Final = "model server"
_FRAMEWORKS: Final = {"MLHUB_FRAMEWORKS": '["sklearn"]'}
_ENVIRONMENT: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def start(folder: Path, port: int, variables: Mapping[str, str]) -> None:
    """Run `mlhub up`.

    Raises:
        BenchmarkError: it fails.
    """
    command = [sys.executable, "-m", "mlhub", "up", "--data", str(folder), "--port", str(port)]
    environment = os.environ | _FRAMEWORKS | _ENVIRONMENT | dict(variables)
    ended = subprocess.run(
        command, check=False, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if ended.returncode != 0:
        raise BenchmarkError(f"mlhub up failed: {ended.stdout[-2000:]} {ended.stderr[-2000:]}")


def stop(folder: Path) -> None:
    """Run `mlhub down`."""
    command = [sys.executable, "-m", "mlhub", "down", "--data", str(folder)]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)


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
        with suppress(psutil.Error):
            parts.setdefault(part_of(process.cmdline()), []).append(process)
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


class Hub:
    """The hub with its own model server."""

    name = "hub"
    title = "hub → own server"

    def __init__(
        self, workspace: Workspace, variables: Mapping[str, str] | None = None, workers: int = 1
    ) -> None:
        self.folder = workspace.folder("hub").resolve()
        self._workspace = workspace
        self._variables = variables or {}
        self._workers = workers

    def missing(self) -> str | None:
        """It is what this is about."""
        return None

    def versions(self) -> dict[str, str]:
        """Name what it runs on."""
        versions = own_versions("mlhub", "celery", "kombu", "falcon", "gunicorn", "msgspec", "secantusdb")
        rabbit = output("dpkg-query", "--show", "--showformat", "${Version}", "rabbitmq-server")
        return versions | ({"rabbitmq": rabbit} if rabbit else {})

    @contextmanager
    def running(self) -> Iterator[Running]:
        """Run it with the settings that it has by default, unless told otherwise."""
        with running_hub(self.folder, self._variables) as origin, self._more_workers():
            yield Running(origin=origin, requests=digits_requests(), parts=lambda: hub_parts(self.folder))

    @contextmanager
    def _more_workers(self) -> Iterator[None]:
        """Run predict workers besides the one that the hub starts."""
        plan = msgspec.json.decode((self.folder / "run" / "plan.json").read_bytes(), type=Plan)
        command = [sys.executable, "-m", "mlhub", "worker", "--backend", "sklearn", "--kind", "predict"]
        environment = os.environ | _FRAMEWORKS | dict(plan.environment)
        with ExitStack() as stack:
            for _ in range(self._workers - 1):
                log = stack.enter_context(self._workspace.log("worker").open("ab"))
                worker = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
                stack.callback(worker.wait)
                stack.callback(worker.terminate)
            yield


class HubWithMLServer:
    """The hub with MLServer as its model server."""

    name = "hub-mlserver"
    title = "hub → MLServer"

    def __init__(self, workspace: Workspace) -> None:
        self._hub = Hub(workspace)
        self._server = MLServer(workspace)

    def missing(self) -> str | None:
        """It needs MLServer."""
        return self._server.missing()

    def versions(self) -> dict[str, str]:
        """They are those of the two."""
        return {}

    @contextmanager
    def running(self) -> Iterator[Running]:
        """Run both; the model is placed in MLServer as the version that the hub knows."""
        folder = self._hub.folder
        models = folder / "models" / digits.NAME
        if not models.exists():
            with running_hub(folder):
                pass
        (deployment,) = (path.name for path in models.iterdir() if path.name[0] != ".")
        with self._server.serving(deployment) as server:
            backend = {"addresses": [server.origin], "types": ["ScikitLearn"]}
            backends = msgspec.json.encode({"sklearn": backend}).decode()
            with running_hub(folder, {"MLHUB_BACKENDS": backends}) as origin:
                yield Running(
                    origin=origin,
                    requests=digits_requests(),
                    parts=lambda: {**hub_parts(folder), SERVER: server.parts()["server"]},
                )


def digits_requests() -> dict[str, tuple[Request, ...]]:
    """Return what to ask a hub with the sample model."""
    return {digits.NAME: (json_request(f"/model/{digits.NAME}/predict", digits.hub_body()),)}
