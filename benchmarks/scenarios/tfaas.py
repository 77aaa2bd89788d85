"""The network of TFaaS's published figures, through the hub and its Keras server."""

import os
import subprocess
import sys
from typing import Final

from benchmarks.bench import Bench, Point
from benchmarks.contestants.base import ROOT, Contestant
from benchmarks.contestants.hub import Hub
from benchmarks.contestants.own import OwnServer, infer
from benchmarks.errors import BenchmarkError
from benchmarks.hub import Published
from benchmarks.load import json_request
from benchmarks.models import bundle, row
from benchmarks.workspace import Workspace

NAME: Final = "tfaas"
TITLE: Final = (
    "The network of TFaaS's published figures (42 inputs, dense 128-128-128-64-64-1-1, JSON; published: 400 "
    "requests/s with 100 clients, 480 with 200, on 24 cores)"
)

_FEATURES: Final = 42
_CLIENTS: Final = (100, 200)
_MODEL: Final = "dnn"


def measure(bench: Bench) -> None:
    """Ask for one row a request."""
    content = _bundle(bench.workspace)
    body = {"input": row(_FEATURES)}
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, _FEATURES], "data": row(_FEATURES)}
    hub = Hub(
        bench.workspace,
        title="hub → own Keras server",
        folder="tfaas",
        variables={"MLHUB_FRAMEWORKS": '["keras"]'},
        models={
            _MODEL: Published(
                bundle=content, type="Keras", requests=(json_request(f"/model/{_MODEL}/predict", body),)
            )
        },
    )
    direct = {_MODEL: (json_request(infer(_MODEL), {"inputs": [tensor]}),)}
    own = OwnServer(bench.workspace, "keras", {_MODEL: content}, direct, title="own Keras server")
    contestants: list[Contestant] = [hub, own]
    bench.compare(NAME, contestants, [Point(str(count), count, _MODEL) for count in _CLIENTS])


def _bundle(workspace: Workspace) -> bytes:
    """Make the network in a process of its own; Keras takes long to import, and stays in memory."""
    file = workspace.folder("dnn") / "dnn.keras"
    if not file.exists():
        command = [sys.executable, str(ROOT / "benchmarks" / "servers" / "dnn.py"), str(file)]
        environment = os.environ | {"KERAS_BACKEND": "torch"}
        ended = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
        if ended.returncode != 0:
            raise BenchmarkError(f"Keras cannot make the network: {ended.stderr[-500:]}")
    return bundle({"dnn.keras": file.read_bytes()})
