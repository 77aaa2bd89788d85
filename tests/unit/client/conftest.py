"""A server for the client that answers what a test tells it to."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from mlhub.client import Client


class Request(msgspec.Struct):
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    """By name in lower case."""
    body: bytes


class Reply(msgspec.Struct):
    """What to answer."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = {}
    cut: int | None = None
    """Bytes of the body after which the connection breaks; `None` sends all of it."""
    silent: bool = False
    """Whether the connection breaks before any answer."""


class Script:
    """Answers with replies in their order, the last one again and again, and keeps the requests."""

    def __init__(self) -> None:
        self.url = ""
        self.replies: list[Reply] = [Reply()]
        self.requests: list[Request] = []

    def answer(self, *replies: Reply) -> None:
        """Set what comes next."""
        self.replies = list(replies)

    def next_reply(self) -> Reply:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@pytest.fixture
def script() -> Iterator[Script]:
    """A server on a port of its own."""
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:
                self.close_connection = True

        def answer(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            script.requests.append(Request(self.command, self.path, headers, self.body(headers)))
            reply = script.next_reply()
            if reply.silent:
                self.close_connection = True
                return
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body[: reply.cut])
            self.close_connection = reply.cut is not None

        def body(self, headers: dict[str, str]) -> bytes:
            if headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(headers.get("content-length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - names of the standard library

        def log_message(self, *_arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        script.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield script
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def client(script: Script, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client of that server, which repeats without long pauses."""
    monkeypatch.setattr("mlhub.client.transport._PAUSE", 0.001)
    monkeypatch.setattr("mlhub.client.bundle._PAUSES", (0.001, 0.001))
    with Client(script.url, timeout=60) as client:
        yield client


@pytest.fixture
def reply() -> Callable[..., Reply]:
    """Makes a reply with a JSON body."""

    def make(body: Any = None, status: int = 200, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Reply(status, msgspec.json.encode({} if body is None else body), named)

    return make
