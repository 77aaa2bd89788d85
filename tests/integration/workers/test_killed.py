"""Parts that are killed at any point of a job: it ends by itself, and nothing is left over.

A hub of its own, whose model server can be made to hold its answers.
"""

import io
import os
import signal
import socket
import struct
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np
import pymongo
import pytest
import requests
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import GaussianNB
from skops.io import dumps

from mlhub.local.ports import free_ports
from tests.integration.conftest import files_below
from tests.integration.tap import Tap

PATIENCE = 150.0
"""Seconds that anything may take on a machine with much else to do."""
FILES = 1500
"""Files of a bundle: enough for each step that looks at them to last a moment."""


def unheeded(_body: bytes) -> None:
    """Make nothing of a call."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_arguments: object) -> None:
        """Say nothing: connections of what is killed break."""


class Gate:
    """Stands before the model server, and holds calls back while it is shut."""

    def __init__(self, port: int, target: str) -> None:
        self.shut_for: str | None = None
        """How the paths of calls end that are held back."""
        self.held = threading.Event()
        self._open = threading.Event()
        self.seen: Callable[[bytes], None] = unheeded
        """Is told the body of each call for a prediction, before it is passed on."""
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.path.endswith("/infer"):
                    gate.seen(body)
                if gate.shut_for is not None and self.path.endswith(gate.shut_for):
                    gate.held.set()
                    gate._open.wait(PATIENCE)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in {"host", "connection"}}
                try:
                    given = requests.request(
                        self.command, target + self.path, data=body, headers=headers, timeout=PATIENCE
                    )
                    self.send_response(given.status_code)
                    for name in ("Content-Type", "Inference-Header-Content-Length"):
                        if name in given.headers:
                            self.send_header(name, given.headers[name])
                    self.send_header("Content-Length", str(len(given.content)))
                    self.end_headers()
                    self.wfile.write(given.content)
                except OSError:
                    # The server, or who asked, is gone: so is this connection.
                    self.close_connection = True

            do_GET = do_POST = forward  # noqa: N815 (the names of the base class)

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.open()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def shut(self, ending: str) -> None:
        self.held.clear()
        self._open.clear()
        self.shut_for = ending

    def open(self) -> None:
        self.shut_for = None
        self._open.set()


class Scene(msgspec.Struct, frozen=True):
    """The hub and what surrounds it."""

    hub: Any
    gate: Gate
    tap: Tap
    versions: Any
    """The collection of the database."""
    work: Path
    store: Path

    def wait(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            logs = "\n".join(f"--- {part.name}\n{part.log[-2000:]}" for part in self.hub.parts.values())
            assert time.monotonic() < deadline, f"{what} did not come true\n{logs}"
            time.sleep(0.01)

    def hold(self, step: str) -> None:
        """Hold back the answer to the write that a step is begun."""
        self.tap.hold(step.encode() + b"\0\x02state\0\x08\0\0\0running\0")

    def step(self, version: str) -> str | None:
        """Return the step that a version's record shows as running."""
        document = self.versions.find_one({"slot": f"m/{version}"}) or {}
        steps = document.get("steps") or [{}]
        return steps[-1].get("name") if steps[-1].get("state") == "running" else None

    def state(self, version: str) -> str:
        return str(self.hub.call("GET", f"/model/m/versions/{version}").json().get("state"))

    def begin(self, version: str) -> None:
        answer = self.hub.call("POST", f"/model/m/upload?version={version}", data=bundle(version))
        assert answer.status_code == 202, answer.text

    def order(self, values: list[float]) -> list[str]:
        """Order predictions at the same time, each of one row; return where they are."""

        def ordered(value: float) -> str:
            answer = self.hub.call(
                "POST",
                "/model/mirror/predict",
                json={"input": [value]},
                headers={"Prefer": "respond-async"},
            )
            assert answer.status_code == 202, answer.text
            return str(answer.headers["Location"])

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(ordered, values))

    def ended(self, places: list[str]) -> list[Any]:
        """Wait until all predictions have ended, and return them."""
        found: dict[str, Any] = {}

        def all_ended() -> bool:
            for place in set(places) - set(found):
                shown = self.hub.call("GET", place).json()
                if shown["status"] not in {"starting", "processing"}:
                    found[place] = shown
            return len(found) == len(places)

        self.wait(all_ended, "the end of all predictions")
        return [found[place] for place in places]

    def ends_ready(self, version: str) -> None:
        self.wait(lambda: self.state(version) == "ready", f"version {version} ready")
        answer = self.hub.call("POST", f"/model/m/predict?version={version}", json={"input": [1.0]})
        assert answer.json()["output"] == 5

    def nothing_is_left_over(self) -> None:
        kept = list(self.versions.find({}, {"bundle": 1}))
        keys = {document["bundle"]["copy"] for document in kept}

        def clean() -> bool:
            stored = {path.name for path in files_below(self.store)}
            unpacked = list(self.work.iterdir()) if self.work.exists() else []
            assert keys <= stored, "a record names a bundle that is not there"
            return stored == keys and not unpacked

        self.wait(clean, "what died jobs and uploads left is cleared away")
        for path in (self.work.parent / "models").rglob(".*"):
            raise AssertionError(f"left over in the models' folder: {path.name}")


def bundle(version: str) -> bytes:
    """Make a bundle of many files, different for each version."""
    estimator = GaussianNB().fit([[0.0], [1.0]], [5, 5])
    files = {f"notes/{number}.txt": b"" for number in range(FILES)}
    files |= {"model.skops": dumps(estimator), "version.txt": version.encode()}
    return packed(files)


def npy(count: int) -> bytes:
    """Make a file of the rows 0, 1, 2 and so on, of one number each."""
    target = io.BytesIO()
    np.save(target, np.arange(float(count))[:, None])
    return target.getvalue()


def packed(files: dict[str, bytes]) -> bytes:
    """Make a tar of files by name."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


@pytest.fixture(scope="module")
def scene(
    tmp_path_factory: pytest.TempPathFactory, broker: Any, database_server: Any, make_hub: Callable[..., Any]
) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("killed")
    (folder / "models").mkdir()
    ports = free_ports(("api", "server", "gate"), {})
    backend = {
        "protocol": "oip",
        "addresses": [f"http://127.0.0.1:{ports['gate']}"],
        "types": ["ScikitLearn"],
        "repository": str(folder / "models"),
    }
    database = urlsplit(database_server.url)
    tap = Tap("127.0.0.1", database.port or 0)
    environment = {
        "MLHUB_BROKER_URL": broker.url,
        "MLHUB_MONGODB_URL": f"mongodb://127.0.0.1:{tap.port}/?directConnection=true&{database.query}",
        "MLHUB_DATABASE": "validations",
        "MLHUB_BUNDLES": str(folder / "bundles"),
        "MLHUB_RUN_DIR": str(folder),
        "MLHUB_PORT": str(ports["api"]),
        # A name of its own gives it queues of its own on the shared broker.
        "MLHUB_BACKENDS": msgspec.json.encode({"gated": backend}).decode(),
        "MLHUB_SWEEP_INTERVAL": "0.5",
        "MLHUB_RECONCILE_INTERVAL": "1",
        "MLHUB_UPLOAD_GRACE": "1",
        "MLHUB_CLAIM": "2",
        "MLHUB_LEASE": "2",
        "MLHUB_JOB_ATTEMPTS": "50",
    }
    serve = ("serve", "sklearn", "--port", str(ports["server"]), "--repository", str(folder / "models"))
    commands = {
        "server": serve,
        "predict": ("worker", "--backend", "gated", "--kind", "predict"),
        "jobs": ("worker", "--backend", "gated", "--kind", "jobs"),
        "api": ("api",),
    }
    hub = make_hub(commands, environment, ports, folder)
    gate = Gate(ports["gate"], f"http://127.0.0.1:{ports['server']}")
    client: pymongo.MongoClient[Any] = pymongo.MongoClient(database_server.url)
    gate.start()
    try:
        for part in hub.parts.values():
            part.start()
        hub.wait_until_ready()
        assert hub.create("m", input_example=[0.5]).status_code == 201
        mirror = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
        hub.publish("mirror", packed({"model.skops": dumps(mirror)}))
        yield Scene(hub, gate, tap, client["validations"]["versions"], folder / "work", folder / "bundles")
    finally:
        gate.open()
        for part in reversed(hub.parts.values()):
            part.stop()
        gate.stop()
        tap.close()
        client.close()


def test_a_worker_killed_in_any_step_of_a_validation_leaves_it_to_the_next(scene: Scene) -> None:
    worker = scene.hub.parts["jobs"]
    scene.hold("archive")
    scene.begin("steps")
    deployment = scene.versions.find_one({"slot": "m/steps"})["_id"]
    # Steps that ask nobody: the worker has begun each, and is killed before it learns that this is written.
    for step, following in (("archive", "contents"), ("contents", "safety"), ("safety", None)):
        assert scene.tap.held.wait(PATIENCE), step
        assert scene.step("steps") == step
        worker.stop(signal.SIGKILL)
        scene.tap.release()
        if following is not None:
            scene.hold(following)
            worker.start()
    # What holds the validation in the others; the signature is asked for at the version's own address.
    endings = {"deployment": "/load", "signature": f"/{deployment}", "example": "/infer"}
    for step, ending in endings.items():
        scene.gate.shut(ending)
        worker.start()
        scene.wait(lambda step=step: scene.step("steps") == step or scene.gate.held.is_set(), f"step {step}")
        worker.stop(signal.SIGKILL)
        scene.gate.open()
    worker.start()
    scene.ends_ready("steps")
    scene.nothing_is_left_over()


def test_a_model_server_killed_during_deployment_is_asked_again(scene: Scene) -> None:
    server = scene.hub.parts["server"]
    scene.gate.shut("/load")
    scene.begin("server")
    assert scene.gate.held.wait(PATIENCE)
    server.stop(signal.SIGKILL)
    scene.gate.open()
    server.start()
    scene.ends_ready("server")
    scene.nothing_is_left_over()


def test_a_database_killed_between_steps_delays_a_validation(scene: Scene, database_server: Any) -> None:
    scene.gate.shut("/load")
    scene.begin("database")
    assert scene.gate.held.wait(PATIENCE)
    database_server.kill()
    scene.gate.open()
    database_server.start()
    scene.hub.wait_until_ready()
    scene.ends_ready("database")
    scene.nothing_is_left_over()


def test_a_broker_killed_between_steps_costs_no_validation(scene: Scene, broker: Any) -> None:
    scene.gate.shut("/load")
    scene.begin("broker")
    assert scene.gate.held.wait(PATIENCE)
    broker.kill()
    scene.gate.open()
    broker.start()
    scene.hub.wait_until_ready()
    scene.ends_ready("broker")
    scene.begin("after")
    scene.ends_ready("after")
    scene.nothing_is_left_over()


def test_an_api_killed_in_the_middle_of_an_upload_leaves_nothing(scene: Scene) -> None:
    api = scene.hub.parts["api"]
    host, port = scene.hub.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as client:
        head = "POST /model/m/upload?version=half HTTP/1.1\r\nHost: hub\r\nContent-Length: 9000000\r\n\r\n"
        client.sendall(head.encode() + bytes(4_000_000))
        scene.wait(lambda: any(scene.store.glob("tmp/*")), "the upload's beginning on the disk")
        api.stop(signal.SIGKILL)
    api.start()
    scene.hub.wait_until_ready()
    assert scene.hub.call("GET", "/model/m/versions/half").status_code == 404
    scene.nothing_is_left_over()
    scene.begin("half")
    scene.ends_ready("half")


def test_an_api_killed_within_a_file_of_rows_has_accepted_nothing_and_leaves_nothing(scene: Scene) -> None:
    api = scene.hub.parts["api"]
    host, port = scene.hub.url.removeprefix("http://").split(":")
    rows = npy(600_000)
    before = scene.hub.call("GET", "/predictions?limit=1").json()
    with socket.create_connection((host, int(port)), timeout=60) as client:
        head = (
            "POST /model/mirror/predict?bulk=true HTTP/1.1\r\nHost: hub\r\nPrefer: respond-async\r\n"
            f"Content-Type: application/x-npy\r\nContent-Length: {len(rows)}\r\n\r\n"
        )
        client.sendall(head.encode() + rows[:-1000])
        scene.wait(lambda: any(scene.store.glob("tmp/*")), "the file's beginning on the disk")
        api.stop(signal.SIGKILL)
    api.start()
    scene.hub.wait_until_ready()
    scene.nothing_is_left_over()
    assert scene.hub.call("GET", "/predictions?limit=1").json() == before


def test_a_worker_killed_in_the_middle_of_a_group_leaves_it_to_the_next(scene: Scene) -> None:
    worker = scene.hub.parts["jobs"]
    values = [float(number) for number in range(40)]
    scene.gate.shut("/infer")
    places = scene.order(values)
    assert scene.gate.held.wait(PATIENCE)
    canceled = scene.hub.call("POST", f"{places[7]}/cancel")
    assert canceled.status_code == 200
    worker.stop(signal.SIGKILL)
    scene.gate.open()
    worker.start()
    ended = scene.ended(places)
    assert ended.pop(7)["status"] == "canceled"
    values.pop(7)
    assert [item["status"] for item in ended] == ["succeeded"] * len(values)
    assert [item["output"] for item in ended] == pytest.approx(values)


def test_a_row_that_kills_its_workers_fails_alone_in_the_end(scene: Scene) -> None:
    worker = scene.hub.parts["jobs"]
    poison = 123456789.0
    dying = threading.Event()

    def kill(body: bytes) -> None:
        if struct.pack("<d", poison) in body:
            os.kill(worker.pid, signal.SIGKILL)
            dying.set()

    def revived() -> bool:
        if dying.is_set():
            worker.stop(signal.SIGKILL)
            dying.clear()
            worker.start()
        return bool(scene.hub.call("GET", places[2]).json()["status"] == "failed")

    scene.gate.seen = kill
    try:
        places = scene.order([1.0, 2.0, poison, 4.0, 5.0])
        scene.wait(revived, "the end of the row that kills")
        ended = scene.ended(places)
    finally:
        scene.gate.seen = unheeded
    failed = ended.pop(2)
    assert "its workers died on it" in failed["error"].lower()
    assert [item["output"] for item in ended] == pytest.approx([1.0, 2.0, 4.0, 5.0])

    def letters() -> list[Any]:
        found = scene.hub.call("GET", "/queues/mlhub.dead/messages?limit=1000").json()
        given_up = [(letter, item["id"]) for letter in found for item in letter["predictions"]]
        return [letter for letter, identity in given_up if identity == failed["id"]]

    scene.wait(lambda: bool(letters()), "the letter of what was given up")
    (letter,) = letters()
    assert letters() == [letter], "looking takes nothing away"
    assert (letter["task"], letter["queue"]) == ("mlhub.job.predict", "mlhub.gated.jobs")
    assert letter["predictions"] == [{"id": failed["id"], "error": failed["error"]}]
    retry = f"/queues/mlhub.dead/messages/{letter['id']}/retry"
    assert scene.hub.call("POST", retry).json() == {"messages": 1, "predictions": 1}
    (done,) = scene.ended([places[2]])
    assert done["output"] == pytest.approx(poison), "this time nothing kills"
    assert letters() == []
    assert scene.hub.call("POST", retry).status_code == 404
    assert scene.hub.call("POST", "/queues/mlhub.dead/retry").json()["predictions"] == 0
    assert scene.hub.call("DELETE", "/queues/mlhub.dead/messages").status_code == 200


def test_an_api_killed_once_it_has_accepted_a_file_of_rows_costs_none_of_them(scene: Scene) -> None:
    api = scene.hub.parts["api"]
    headers = {"Prefer": "respond-async", "Content-Type": "application/x-npy"}
    # Nothing of it is done before the API is gone.
    scene.gate.shut("/infer")
    accepted = scene.hub.call("POST", "/model/mirror/predict?bulk=true", data=npy(3000), headers=headers)
    assert accepted.status_code == 202, accepted.text
    api.stop(signal.SIGKILL)
    scene.gate.open()
    api.start()
    scene.hub.wait_until_ready()
    (done,) = scene.ended([accepted.headers["Location"]])
    assert (done["status"], done["progress"]) == ("succeeded", {"done": 3000, "total": 3000})
    output = scene.hub.call("GET", done["urls"]["output"])
    assert np.load(io.BytesIO(output.content)) == pytest.approx(np.arange(3000.0))
