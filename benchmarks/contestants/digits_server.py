"""Servers of others with the digits in them, called directly; each in a virtual environment of its own."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from benchmarks import digits
from benchmarks.contestants.base import ROOT, Running
from benchmarks.contestants.environment import Environment
from benchmarks.errors import BenchmarkError
from benchmarks.load import json_request, once
from benchmarks.measure import tree
from benchmarks.program import program
from benchmarks.workspace import Workspace, free_port

SERVERS = ROOT / "benchmarks" / "servers"
_TRAIN = SERVERS / "train.py"


class Command(Protocol):
    """Makes the command line of a server."""

    def __call__(self, environment: Environment, model: Path, port: int) -> list[str]:
        """Serve the model in a file on a port."""
        ...


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A server of somebody else, and how it is started and asked."""

    name: str
    title: str
    environment: str
    packages: tuple[str, ...]
    command: Command
    path: str
    body: Mapping[str, Any]
    variables: Mapping[str, str] = {}


class DigitsServer:
    """One such server."""

    def __init__(self, workspace: Workspace, kind: Kind) -> None:
        self.name = kind.name
        self.title = kind.title
        self._kind = kind
        self._workspace = workspace
        self._environment = Environment(kind.environment)

    def missing(self) -> str | None:
        """It has an environment of its own."""
        return self._environment.missing()

    def versions(self) -> dict[str, str]:
        """Name what takes part."""
        return self._environment.versions(*self._kind.packages, "uvicorn", "scikit-learn", "numpy")

    @contextmanager
    def running(self) -> Iterator[Running]:
        """Run it; it is ready when it answers the question."""
        folder = self._workspace.folder(self.name)
        model = trained(self._environment, folder)
        port = free_port()
        origin = f"http://127.0.0.1:{port}"
        request = json_request(self._kind.path, self._kind.body)

        def ready() -> bool:
            try:
                once(origin, request, timeout=5)
            except BenchmarkError:
                return False
            return True

        with program(
            self._kind.command(self._environment, model, port),
            self._workspace.log(self.name),
            ready=ready,
            environment={"MODEL": str(model)} | dict(self._kind.variables),
            folder=folder,
        ) as pid:
            yield Running(
                origin=origin, requests={digits.NAME: (request,)}, parts=lambda: {"server": tree(pid)}
            )


def trained(environment: Environment, folder: Path) -> Path:
    """Return the model as the scikit-learn of an environment stores it; trained there, once."""
    model = folder / "model.joblib"
    if not model.exists():
        subprocess.run([str(environment.python), str(_TRAIN), str(model)], check=True)
    return model
