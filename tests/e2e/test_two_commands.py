"""The two commands, as a user gives them: everything is started, tried with curl, and stopped."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
import requests

from mlhub.local import processes
from mlhub.local.instance import Instance
from mlhub.local.ports import free_ports, listens
from mlhub.local.program import Plan

SEED = {
    "create": """
# post ML meta-data
curl -X POST \\
-H "content-type: application/json" \\
-d '{"model": "mnist", "type": "TensorFlow", "meta": {}}' \\
http://localhost:port/model/mnist
""",
    "get": """
# fetch meta-data info about ML model
curl http://localhost:port/model/mnist
""",
    "change": """
# post ML meta-data
curl -X PUT \\
-H "content-type: application/json" \\
-d '{"model": "mnist", "type": "TensorFlow", "meta": {"param": 1}}' \\
http://localhost:port/model/mnist
""",
    "delete": """
curl -X DELETE \\
http://localhost:port/model/mnist
""",
    "list": """
# to get all ML models
curl http://localhost:port/models
""",
    "upload": """
# upload ML model
curl -X POST -H "Content-Encoding: gzip" \\
-H "content-type: application/octet-stream" \\
--data-binary @./mnist.tar.gz \\
http://localhost:port/model/mnist/upload
""",
    "download": """
curl http://localhost:port/model/mnist/download
""",
    "predict": """
# provide prediction for given input vector
curl -X GET \\
-H "content-type: application/json" \\
-d '{"input": [input values]}' \\
http://localhost:port/model/mnist/predict
""",
}
"""The calls of the document that the project started from, letter by letter."""


class Hub:
    """A hub on this machine, used through its commands and curl."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.instance = Instance(folder / "data")
        self.port = free_ports(["api"], {})["api"]

    def mlhub(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mlhub", *arguments],
            cwd=self.folder,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def up(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        answer = self.mlhub("up", "--port", str(self.port), "--data", "data", *arguments)
        assert answer.returncode == 0, answer.stderr
        return answer

    def down(self) -> None:
        answer = self.mlhub("down", "--data", "data")
        assert answer.returncode == 0, answer.stderr

    def paste(self, command: str) -> bytes:
        """Give a command as it is written, but for the port, to a shell."""
        line = command.replace("localhost:port", f"localhost:{self.port}")
        answer = subprocess.run(
            ["bash", "-c", line],  # noqa: S607
            cwd=self.folder,
            capture_output=True,
            check=True,
            timeout=150,
        )
        return answer.stdout

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return requests.request(method, f"http://127.0.0.1:{self.port}{path}", timeout=150, **options)

    def plan(self) -> Plan:
        return msgspec.json.decode(self.instance.plan.read_bytes(), type=Plan)

    def pids(self) -> set[int]:
        """The watcher and the programs that it keeps running."""
        watcher = processes.find_watcher(self.instance.folder)
        assert watcher is not None
        return {watcher.pid, *(child.pid for child in watcher.children())}

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 150
        while True:
            try:
                if self.call("GET", "/health/ready").ok:
                    return
            except requests.RequestException:
                pass
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = Hub(tmp_path_factory.mktemp("user"))
    try:
        hub.up()
        yield hub
    finally:
        processes.stop(hub.instance.folder, patience=60)


@pytest.fixture
def held_out(hub: Hub) -> dict[str, Any]:
    """A digit that the sample model was not trained on: its pixels, and what it shows."""
    digit: dict[str, Any] = hub.call("GET", "/model/digits").json()["meta"]["held_out"]
    return digit


def test_the_line_that_is_printed_works_when_pasted(hub: Hub, held_out: dict[str, Any]) -> None:
    line = hub.up().stdout.splitlines()[-1]
    assert line.startswith("curl ")
    assert json.loads(hub.paste(line)) == {"model": "digits", "version": "1", "output": held_out["value"]}


def test_a_second_call_changes_nothing(hub: Hub) -> None:
    before = hub.pids(), hub.plan(), hub.call("GET", "/model/digits").text
    places = json.loads(hub.up("--json").stdout)
    assert places["started"] is False
    assert places["api"] == f"http://127.0.0.1:{hub.port}"
    assert (hub.pids(), hub.plan(), hub.call("GET", "/model/digits").text) == before


def test_another_port_is_refused_while_it_runs(hub: Hub) -> None:
    answer = hub.mlhub("up", "--port", str(hub.port + 1), "--data", "data")
    assert answer.returncode == 1
    assert f"runs on 127.0.0.1:{hub.port} already" in answer.stderr


def test_metadata_calls_of_the_first_document_work_as_written(hub: Hub) -> None:
    created = json.loads(hub.paste(SEED["create"]))
    assert (created["model"], created["type"], created["meta"]) == ("mnist", "TensorFlow", {})
    assert json.loads(hub.paste(SEED["get"])) == created
    assert json.loads(hub.paste(SEED["change"]))["meta"] == {"param": 1}
    assert json.loads(hub.paste(SEED["get"]))["meta"] == {"param": 1}
    assert {entry["model"] for entry in json.loads(hub.paste(SEED["list"]))} == {"digits", "mnist"}
    assert hub.paste(SEED["delete"]) == b""
    assert json.loads(hub.paste(SEED["get"]))["status"] == 404


def test_bundle_calls_of_the_first_document_work_as_written(hub: Hub, held_out: dict[str, Any]) -> None:
    bundle = hub.call("GET", "/model/digits/download").content
    (hub.folder / "mnist.tar.gz").write_bytes(bundle)
    hub.paste(SEED["create"].replace("TensorFlow", "ScikitLearn"))
    assert json.loads(hub.paste(SEED["upload"]))["state"] in {"validating", "ready"}
    deadline = time.monotonic() + 150
    while json.loads(hub.paste(SEED["get"]))["state"] != "ready":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert hub.paste(SEED["download"]) == bundle
    values = str(held_out["pixels"])[1:-1]
    answer = json.loads(hub.paste(SEED["predict"].replace("input values", values)))
    assert answer["output"] == held_out["value"]


def test_a_killed_part_comes_back_by_itself(hub: Hub) -> None:
    watcher = processes.find_watcher(hub.instance.folder)
    assert watcher is not None
    for process in watcher.children():
        if "api" in processes.command_line(process):
            process.kill()
            process.wait(60)
    hub.wait_until_ready()
    assert hub.call("GET", "/model/digits").ok


def test_every_part_listens_on_loopback_only(hub: Hub) -> None:
    parts = {process.pid for process in processes.find(hub.instance.folder)}
    listening = {
        connection.laddr.ip
        for connection in psutil.net_connections("inet")
        if connection.pid in parts and connection.status == psutil.CONN_LISTEN
    }
    assert listening
    assert listening <= {"127.0.0.1", "::1"}


def test_servers_of_the_users_own_are_used_and_a_token_guards_every_interface(
    hub: Hub, tmp_path: Path
) -> None:
    plan = hub.plan()
    broker_url = plan.environment["MLHUB_BROKER_URL"]
    password = (hub.instance.broker / "password").read_text()
    for path in ("vhosts/other", "permissions/other/mlhub"):
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        made = requests.put(
            f"{plan.management_url}/api/{path}", json=everything, auth=("mlhub", password), timeout=60
        )
        made.raise_for_status()
    variables = {
        "MLHUB_BROKER_URL": f"{broker_url.removesuffix('//')}/other",
        "MLHUB_MONGODB_URL": plan.environment["MLHUB_MONGODB_URL"],
        "MLHUB_DATABASE": "other",
        "MLHUB_TOKEN": "a token's value",
    }
    other = Hub(tmp_path)
    arguments = ["up", "--foreground", "--host", "0.0.0.0", "--port", str(other.port), "--data", "data"]  # noqa: S104
    with subprocess.Popen(
        [sys.executable, "-m", "mlhub", *arguments],
        cwd=tmp_path,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        # Reading ends when the process does, at the latest then.
        guard = threading.Timer(300, process.kill)
        guard.start()
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if line.startswith("curl"))
            programs = {program.name for program in other.plan().programs}
            assert programs == {"server-sklearn", "predict-sklearn", "jobs-sklearn", "api", "scaler"}
            assert "a token" not in line
            assert json.loads(other.paste(f'export MLHUB_TOKEN="a token\'s value"; {line}'))["output"] == 7
            assert other.call("GET", "/health/ready").status_code == 200
            assert other.call("GET", "/models").status_code == 401
            assert [entry["model"] for entry in hub.call("GET", "/models").json()].count("digits") == 1
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=150)
            finally:
                guard.cancel()
                process.kill()
                left = processes.stop(other.instance.folder, patience=30)
    assert process.returncode == 0
    assert not left


def test_down_leaves_no_process_and_data_survives(hub: Hub, held_out: dict[str, Any]) -> None:
    before = hub.call("GET", "/model/digits").text
    plan = hub.plan()
    hub.down()
    assert processes.find(hub.instance.folder) == []
    ports = json.loads((hub.instance.folder / "ports.json").read_bytes()).values()
    assert [port for port in (*ports, hub.port) if listens(port)] == []
    hub.down()
    hub.up()
    assert hub.plan() == plan, "also the addresses stay"
    assert hub.call("GET", "/model/digits").text == before
    answer = hub.call("POST", "/model/digits/predict", json={"input": held_out["pixels"]})
    assert answer.json()["output"] == held_out["value"]


def test_what_a_crash_of_the_watcher_leaves_is_cleared_away(hub: Hub) -> None:
    watcher = processes.find_watcher(hub.instance.folder)
    assert watcher is not None
    before = {process.pid for process in processes.find(hub.instance.folder)}
    watcher.kill()
    watcher.wait(60)
    assert "ended what an earlier crash had left" in hub.up().stderr
    assert not before & {process.pid for process in processes.find(hub.instance.folder)}
    hub.down()
    assert processes.find(hub.instance.folder) == []


def test_the_makefile_lists_its_targets() -> None:
    make = shutil.which("make")
    assert make is not None
    answer = subprocess.run(
        [make, "-C", str(Path(__file__).parents[2])], capture_output=True, text=True, check=True
    )
    assert {"help", "up", "down", "test", "lint", "bench"} <= {
        line.split()[0] for line in answer.stdout.splitlines()
    }
