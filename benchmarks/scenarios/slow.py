"""A slow model, 50 ms a call whatever the batch: what collecting requests is worth."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from benchmarks import digits
from benchmarks.bench import Bench, Point
from benchmarks.contestants.base import ROOT, Contestant, Running
from benchmarks.hub import SERVER, Published, hub_parts, publish, running_hub
from benchmarks.load import json_request
from benchmarks.measure import tree
from benchmarks.program import answers, program
from benchmarks.workspace import Workspace, free_port

NAME: Final = "slow"
TITLE: Final = "A model that takes 50 ms a call, 4 calls at once, 256 clients"
HUB: Final = "hub → slow server"
DIRECT: Final = "slow server"
CLIENTS: Final = "256"
ROWS: Final = 32
"""Most rows of a batch, so that 256 clients fill all batches that can be in flight."""
SLOTS: Final = 4
IDEAL: Final = ROWS * SLOTS / 0.05
"""Rows a second that the server can compute at most."""

_MODEL: Final = "slow"


class SlowServer:
    """The server alone."""

    name = "slow"
    title = DIRECT

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def missing(self) -> str | None:
        """It is part of the benchmarks."""
        return None

    def versions(self) -> dict[str, str]:
        """It runs on what the hub runs on."""
        return {}

    @contextmanager
    def running(self) -> Iterator[Running]:
        """Run it with as many lanes as the hub has slots."""
        port = free_port()
        origin = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "benchmarks.servers.slow", str(port), str(SLOTS)]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        with program(
            command,
            self._workspace.log(self.name),
            ready=answers(origin, "/v2/health/ready"),
            environment={"PYTHONPATH": path},
        ) as pid:
            request = json_request(f"/v2/models/{_MODEL}/versions/1/infer", digits.oip_body())
            yield Running(origin=origin, requests={_MODEL: (request,)}, parts=lambda: {"server": tree(pid)})


class SlowHub:
    """The hub with that server behind it."""

    name = "hub"
    title = HUB

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._server = SlowServer(workspace)

    def missing(self) -> str | None:
        """It is what this is about."""
        return None

    def versions(self) -> dict[str, str]:
        """They are those of the hub."""
        return {}

    @contextmanager
    def running(self) -> Iterator[Running]:
        """Run both."""
        folder = self._workspace.folder("slow-hub").resolve()
        with self._server.running() as server:
            backend = {
                "addresses": [server.origin],
                "types": ["ScikitLearn"],
                "repository": str(self._workspace.folder("slow-models")),
                "batch_rows": ROWS,
                "slots": SLOTS,
            }
            backends = msgspec.json.encode({_MODEL: backend}).decode()
            with running_hub(folder, {"MLHUB_BACKENDS": backends, "MLHUB_FRAMEWORKS": "[]"}) as origin:
                publish(origin, {_MODEL: Published(bundle=digits.trained().bundle)})
                request = json_request(f"/model/{_MODEL}/predict", digits.hub_body())
                yield Running(
                    origin=origin,
                    requests={_MODEL: (request,)},
                    parts=lambda: {**hub_parts(folder), SERVER: server.parts()["server"]},
                )


def measure(bench: Bench) -> None:
    """Load both."""
    contestants: list[Contestant] = [SlowHub(bench.workspace), SlowServer(bench.workspace)]
    bench.compare(NAME, contestants, [Point(CLIENTS, int(CLIENTS), _MODEL)])
