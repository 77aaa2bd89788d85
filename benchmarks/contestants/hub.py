"""The hub as a contestant, in front of its own model server or of another one."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import msgspec
from msgspec import structs

from benchmarks import digits
from benchmarks.contestants import titles
from benchmarks.contestants.base import Running
from benchmarks.contestants.environment import own_versions
from benchmarks.contestants.mlserver import MLServer
from benchmarks.hub import FRAMEWORKS, SERVER, Published, hub_parts, publish, running_hub
from benchmarks.load import Request, json_request
from benchmarks.machine import output
from benchmarks.models import bundle
from benchmarks.workspace import Workspace
from mlhub.local.program import Plan


class Hub:
    """The hub with its own model server."""

    name = "hub"

    def __init__(
        self,
        workspace: Workspace,
        *,
        title: str = titles.HUB,
        folder: str = "hub",
        variables: Mapping[str, str] | None = None,
        workers: int = 1,
        models: Mapping[str, Published] | None = None,
        requests: Mapping[str, tuple[Request, ...]] | None = None,
    ) -> None:
        """Describe it.

        Args:
            workspace: of the run.
            title: for people.
            folder: name of its data; hubs of one name are one hub, started again.
            variables: settings that differ from those by default.
            workers: predict workers.
            models: what it has to have besides the sample.
            requests: what to ask it besides the digits and each of the models.
        """
        self.title = title
        self.folder = workspace.folder(folder).resolve()
        self._workspace = workspace
        self._variables = variables or {}
        self._workers = workers
        self._models = models or {}
        self._requests = dict(requests or {})

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
            publish(origin, self._models)
            requests = {name: model.requests for name, model in self._models.items() if model.requests}
            yield Running(
                origin=origin,
                requests=digits_requests() | requests | self._requests,
                parts=lambda: hub_parts(self.folder),
            )

    @contextmanager
    def _more_workers(self) -> Iterator[None]:
        """Run predict workers besides the one that the hub starts."""
        plan = msgspec.json.decode((self.folder / "run" / "plan.json").read_bytes(), type=Plan)
        command = [sys.executable, "-m", "mlhub", "worker", "--backend", "sklearn", "--kind", "predict"]
        environment = os.environ | FRAMEWORKS | dict(plan.environment)
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
    title = titles.HUB_MLSERVER

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._server = MLServer(workspace)

    def missing(self) -> str | None:
        """It needs MLServer."""
        return self._server.missing()

    def versions(self) -> dict[str, str]:
        """They are those of the two."""
        return {}

    @contextmanager
    def running(self) -> Iterator[Running]:
        """Run both; the hub has MLServer load the very file that is measured directly."""
        models = self._workspace.folder("hub-mlserver-models")
        with self._server.serving(models) as server:
            backend = {
                "protocol": "mlserver",
                "addresses": [server.origin],
                "types": ["ScikitLearn"],
                "repository": str(models),
                "allow_pickles": True,
            }
            hub = Hub(
                self._workspace,
                folder="hub-mlserver",
                variables={
                    "MLHUB_BACKENDS": msgspec.json.encode({"mlserver": backend}).decode(),
                    "MLHUB_FRAMEWORKS": "[]",
                },
                models={digits.NAME: self._published()},
            )
            with hub.running() as running:
                yield structs.replace(
                    running, parts=lambda: {**running.parts(), SERVER: server.parts()["server"]}
                )

    def _published(self) -> Published:
        """MLServer does not say what its scikit-learn models take, so the bundle does."""
        signature = {
            "inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, 64]}],
            "outputs": [{"name": "predict", "datatype": "INT64", "shape": [-1, 1]}],
        }
        description = msgspec.json.encode({"signature": signature})
        return Published(
            bundle=bundle({"model.joblib": self._server.model().read_bytes(), "mlhub.json": description})
        )


def digits_requests() -> dict[str, tuple[Request, ...]]:
    """Return what to ask a hub with the sample model."""
    return {digits.NAME: (json_request(f"/model/{digits.NAME}/predict", digits.hub_body()),)}
