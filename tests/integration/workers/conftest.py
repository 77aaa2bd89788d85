"""A double of TFaaS, which is written in Go and needs TensorFlow's C library: its REST side, as its source has it.

A model's `saved_model.pb` is JSON here: `{"width": n, "scale": s}` computes s times the sum and the largest of n
values; another width ends the connection without an answer, as a graph that cannot run does.
"""

import io
import json
import re
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

PNG = b"\x89PNG\r\n\x1a\n"


class TFaaS:
    """One server; its folder of models outlives its process, its cache does not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        self.cache: dict[str, dict[str, Any]] = {}
        self.limit: int | None = None
        """Requests that are let through before some are answered with 429."""
        self.always_busy = False
        self.busy = 0
        self.uploading = 0
        self.most_uploads = 0
        self.predicting = 0
        self.most_predicting = 0
        self.delay = 0.0
        """Seconds a prediction takes."""
        self.connections = 0
        self.open: set[socket.socket] = set()
        """Connections that there are."""
        self.calls: list[str] = []
        self.named: set[tuple[str | None, str | None]] = set()
        """Requests and span that predictions were made for."""
        self.uploads: list[bytes] = []
        self.lock = threading.Lock()
        self._port = 0
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        self.cache.clear()
        self._http = ThreadingHTTPServer(("127.0.0.1", self._port), _handler(self))
        self._http.daemon_threads = False
        self._port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        self._http.shutdown()
        self._thread.join()
        with self.lock:
            for connection in self.open:
                # Those who wait for the next request on it are waiting for nothing.
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)
        self._http.socket.close()
        self._http.server_close()


def _handler(server: TFaaS) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        tfaas = server

    return Handler


class _Handler(BaseHTTPRequestHandler):
    tfaas: TFaaS
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        with self.tfaas.lock:
            self.tfaas.connections += 1
            self.tfaas.open.add(self.connection)

    def finish(self) -> None:
        with self.tfaas.lock:
            self.tfaas.open.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (as http.server has it)
        pass

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def answer(self, status: int, body: bytes = b"", kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        # Also JSON: the middleware sets the type first.
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def error(self, message: str) -> None:
        self.answer(500, json.dumps({"error": message}).encode() + b"\n")

    def form(self, body: bytes) -> dict[str, tuple[str | None, bytes]]:
        kind = self.headers.get("Content-Type", "")
        # Go reads a form's body for DELETE only when it has several parts.
        if not kind.startswith("multipart/form-data"):
            return {}
        message = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
        found = {}
        for part in message.get_payload():
            name = part.get_param("name", header="content-disposition")  # type: ignore[union-attr]
            found[str(name)] = (part.get_filename(), part.get_payload(decode=True))  # type: ignore[union-attr]
        return found  # type: ignore[return-value]

    def do_GET(self) -> None:
        self._do()

    def do_POST(self) -> None:
        self._do()

    def do_DELETE(self) -> None:
        self._do()

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.is_too_much():
            self.answer(429, b"Limit exceeded\n")
            return
        self.route(body)

    def is_too_much(self) -> bool:
        with self.tfaas.lock:
            self.tfaas.calls.append(f"{self.command} {self.path}")
            if self.path.startswith("/predict"):
                self.tfaas.named.add((self.headers["X-Request-ID"], self.headers["traceparent"]))
            if self.tfaas.always_busy and self.path.startswith("/predict"):
                return True
            if self.tfaas.limit is not None and self.path.startswith("/predict"):
                self.tfaas.limit -= 1
                if self.tfaas.limit < 0:
                    self.tfaas.limit = 3
                    self.tfaas.busy += 1
                    return True
        return False

    def route(self, body: bytes) -> None:
        path = self.path
        if path == "/upload":
            self.upload(body)
        elif path in {"/predict/json", "/json"}:
            self.predict(body)
        elif path in {"/predict/image", "/image"}:
            self.image(body)
        elif path == "/models":
            self.models()
        elif match := re.fullmatch(r"/params/([a-zA-Z0-9_]+)", path):
            self.params(match[1])
        elif self.command == "DELETE" and (match := re.fullmatch(r"/delete(?:/([a-zA-Z0-9_]+))?", path)):
            self.delete(match[1] or self.form(body).get("model", (None, b""))[1].decode())
        elif path == "/status":
            self.answer(200, b'{"uptime": 1}')
        else:
            self.answer(404, b"404 page not found\n")

    def upload(self, body: bytes) -> None:
        tfaas = self.tfaas
        with tfaas.lock:
            tfaas.uploading += 1
            tfaas.most_uploads = max(tfaas.most_uploads, tfaas.uploading)
        time.sleep(0.05)
        with tfaas.lock:
            tfaas.uploading -= 1
            tfaas.uploads.append(body)
        made: set[str] = set()
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            for member in archive:
                if member.isdir():
                    (tfaas.folder / member.name).mkdir(exist_ok=True)
                    made.add(member.name)
                    continue
                parent = member.name.rpartition("/")[0]
                if parent not in made:
                    # It makes no folder that the tar has no entry for.
                    self.error(f"open {member.name}: no such file or directory")
                    return
                content = archive.extractfile(member)
                assert content is not None
                (tfaas.folder / member.name).write_bytes(content.read())
        self.answer(200)

    def load(self, name: str) -> dict[str, Any] | None:
        """Return a model; what was once loaded under a name stays, whatever is uploaded later."""
        if name not in self.tfaas.cache:
            folder = self.tfaas.folder / name
            try:
                params = json.loads((folder / "params.json").read_bytes())
                (folder / params["labels"]).read_bytes()
                self.tfaas.cache[name] = json.loads((folder / params["model"]).read_bytes())
            except (OSError, ValueError):
                return None
        return self.tfaas.cache[name]

    def predict(self, body: bytes) -> None:
        try:
            row = json.loads(body)
            values = [float(value) for value in row["values"]]
        except (ValueError, TypeError):
            self.error("unable to unmarshal Row")
            return
        model = self.load(row["model"])
        if model is None:
            self.error("PredictHandler: unable to make predictions")
            return
        tfaas = self.tfaas
        with tfaas.lock:
            tfaas.predicting += 1
            tfaas.most_predicting = max(tfaas.most_predicting, tfaas.predicting)
        time.sleep(tfaas.delay)
        with tfaas.lock:
            tfaas.predicting -= 1
        if len(values) != model["width"]:
            self.close_connection = True
            return
        if values[0] == -500.0:
            self.error("PredictHandler: unable to make predictions")
            return
        self.answer(200, json.dumps([model["scale"] * sum(values), max(values)]).encode() + b"\n")

    def image(self, body: bytes) -> None:
        form = self.form(body)
        model = self.load(form["model"][1].decode())
        if model is None:
            self.error("unable to get image model from the cache")
            return
        filename, content = form["image"]
        if content.startswith(PNG) != (str(filename).rpartition(".")[2] == "png"):
            self.error("Invalid image")
            return
        if model.get("old"):
            labels = [{"label": "cat", "probability": 0.75}, {"label": "dog", "probability": 0.25}]
            self.answer(200, json.dumps({"filename": "input", "labels": labels}).encode())
            return
        self.answer(200, json.dumps([float(len(content)), 1.0]).encode())

    def models(self) -> None:
        found = []
        for folder in sorted(self.tfaas.folder.iterdir()):
            try:
                found.append(json.loads((folder / "params.json").read_bytes()))
            except OSError:
                self.error("Unable to get TF models")
                return
        self.answer(200, json.dumps(found or None).encode())

    def params(self, name: str) -> None:
        try:
            self.answer(200, (self.tfaas.folder / name / "params.json").read_bytes())
        except OSError:
            self.error(f"unable to read {name}")

    def delete(self, name: str) -> None:
        folder = self.tfaas.folder / name
        if name and folder.is_dir():
            for path in sorted(folder.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            folder.rmdir()
        self.tfaas.cache.pop(name, None)
        self.answer(200)


@pytest.fixture
def tfaas(tmp_path: Path) -> Iterator[TFaaS]:
    started = TFaaS(tmp_path / "tfaas")
    yield started
    started.stop()


@pytest.fixture
def another_tfaas(tmp_path: Path) -> Iterator[TFaaS]:
    started = TFaaS(tmp_path / "another-tfaas")
    yield started
    started.stop()
