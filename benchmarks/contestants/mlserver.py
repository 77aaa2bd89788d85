"""MLServer with its scikit-learn runtime, called directly."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

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
        with self.serving("1") as running:
            yield running

    @contextmanager
    def serving(self, version: str) -> Iterator[Running]:
        """Run it with the digits as some version."""
        folder = self._workspace.folder(f"{self.name}-{version}")
        port, grpc, metrics = (free_port() for _ in range(3))
        self._place(folder, version)
        settings: dict[str, Any] = {
            "host": "127.0.0.1",
            "http_port": port,
            "grpc_port": grpc,
            "metrics_port": metrics,
            # A pool of processes costs more than a small model's prediction.
            "parallel_workers": 0,
            "debug": False,
        }
        (folder / "settings.json").write_bytes(msgspec.json.encode(settings))
        origin = f"http://127.0.0.1:{port}"
        path = f"/v2/models/{digits.NAME}/versions/{version}"
        command = [self._environment.program("mlserver"), "start", str(folder)]
        ready = answers(origin, f"{path}/ready")
        with program(command, self._workspace.log(self.name), ready=ready, folder=folder) as pid:
            request = json_request(f"{path}/infer", digits.oip_body())
            yield Running(
                origin=origin, requests={digits.NAME: (request,)}, parts=lambda: {"server": tree(pid)}
            )

    def _place(self, folder: Path, version: str) -> None:
        model = trained(self._environment, self._workspace.folder(self.name))
        target = folder / "digits"
        target.mkdir(exist_ok=True)
        shutil.copyfile(model, target / model.name)
        settings = {
            "name": digits.NAME,
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": "./model.joblib", "version": version},
        }
        (target / "model-settings.json").write_bytes(msgspec.json.encode(settings))
