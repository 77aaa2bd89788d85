"""MLServer with its scikit-learn runtime, called directly."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from benchmarks import digits
from benchmarks.contestants import titles
from benchmarks.contestants.base import Running
from benchmarks.contestants.digits_server import trained
from benchmarks.contestants.environment import Environment
from benchmarks.load import json_request
from benchmarks.measure import tree
from benchmarks.program import answers, program
from benchmarks.workspace import Workspace, free_port


class MLServer:
    """One process, inference in it: the fastest it has for a small model."""

    name = "mlserver"
    title = titles.MLSERVER

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._environment = Environment("mlserver")

    def missing(self) -> str | None:
        """It has an environment of its own."""
        return self._environment.missing()

    def versions(self) -> dict[str, str]:
        """Name what takes part."""
        return self._environment.versions(
            "mlserver", "mlserver-sklearn", "uvicorn", "fastapi", "orjson", "scikit-learn", "numpy"
        )

    @contextmanager
    def running(self) -> Iterator[Running]:
        """Run it with the digits as version 1."""
        models = self._workspace.folder(f"{self.name}-models")
        self._place(models)
        path = f"/v2/models/{digits.NAME}/versions/1"
        with self.serving(models, f"{path}/ready") as running:
            request = json_request(f"{path}/infer", digits.oip_body())
            yield structs.replace(running, requests={digits.NAME: (request,)})

    @contextmanager
    def serving(self, models: Path, ready: str = "/v2/health/ready") -> Iterator[Running]:
        """Run it with the models in a folder, which can change; `ready` is answered well when it is ready."""
        port, grpc, metrics = (free_port() for _ in range(3))
        settings: dict[str, Any] = {
            "host": "127.0.0.1",
            "http_port": port,
            "grpc_port": grpc,
            "metrics_port": metrics,
            # A pool of processes costs more than a small model's prediction.
            "parallel_workers": 0,
            "debug": False,
        }
        (models / "settings.json").write_bytes(msgspec.json.encode(settings))
        origin = f"http://127.0.0.1:{port}"
        command = [self._environment.program("mlserver"), "start", str(models)]
        log = self._workspace.log(self.name)
        with program(command, log, ready=answers(origin, ready), folder=models) as pid:
            yield Running(origin=origin, requests={}, parts=lambda: {"server": tree(pid)})

    def model(self) -> Path:
        """Return the digits as its scikit-learn stores them."""
        return trained(self._environment, self._workspace.folder(self.name))

    def _place(self, models: Path) -> None:
        target = models / digits.NAME
        target.mkdir(exist_ok=True)
        shutil.copyfile(self.model(), target / "model.joblib")
        settings = {
            "name": digits.NAME,
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": "./model.joblib", "version": "1"},
        }
        (target / "model-settings.json").write_bytes(msgspec.json.encode(settings))
