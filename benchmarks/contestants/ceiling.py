"""The hub's API process answering at once, without a queue or a model server: what HTTP alone allows."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from benchmarks.contestants import titles
from benchmarks.contestants.base import ROOT, Running
from benchmarks.contestants.hub import Hub, digits_requests
from benchmarks.hub import running_hub
from benchmarks.measure import tree
from benchmarks.program import answers, program
from benchmarks.workspace import Workspace, free_port
from mlhub.local.database import EmbeddedDatabase
from mlhub.local.ports import listens
from mlhub.local.program import Plan


class HttpAlone:
    """The same application as the hub's, with a stand-in for the gateway; and the database for its routes."""

    name = "http"
    title = titles.HTTP

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._hub = Hub(workspace)

    def missing(self) -> str | None:
        """It is made of the hub's own parts."""
        return None

    def versions(self) -> dict[str, str]:
        """They are those of the hub."""
        return {}

    @contextmanager
    def running(self) -> Iterator[Running]:
        """Run one API process on the database of the hub."""
        plan_file = self._hub.folder / "run" / "plan.json"
        if not plan_file.exists():
            with running_hub(self._hub.folder):
                pass
        plan = msgspec.json.decode(plan_file.read_bytes(), type=Plan)
        ports = free_port(), free_port()
        database = EmbeddedDatabase(self._hub.folder / "database", ports[0])
        environment = plan.environment | {
            "MLHUB_MONGODB_URL": database.url,
            "MLHUB_PORT": str(ports[1]),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        }
        del environment["MLHUB_INSTANCE"]
        origin = f"http://127.0.0.1:{ports[1]}"
        command = [sys.executable, "-m", "benchmarks.servers.instant"]
        with (
            program(
                database.program().arguments,
                self._workspace.log("database"),
                ready=lambda: listens(ports[0]),
            ) as database_pid,
            program(
                command,
                self._workspace.log(self.name),
                ready=answers(origin, "/health/live"),
                environment=environment,
            ) as api_pid,
        ):
            yield Running(
                origin=origin,
                requests=digits_requests(),
                parts=lambda: {"API": tree(api_pid), "database": tree(database_pid)},
            )
