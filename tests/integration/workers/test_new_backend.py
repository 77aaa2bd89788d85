"""A backend as the documentation says how to write one: the page's own code, against a server it was not made for."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlhub.common import tensor
from mlhub.common.backend import BackendSettings
from mlhub.common.batch import BatchRequest
from mlhub.common.errors import BackendUnreachableError, NotDeployedError
from mlhub.workers.adapters import ADAPTERS, create_adapter
from mlhub.workers.adapters.base import BackendAdapter
from mlhub.workers.batch import run_batch

PAGE = Path(__file__).parents[3] / "docs" / "new-backend.md"


class Multiplier(BaseHTTPRequestHandler):
    """The server of the page."""

    protocol_version = "HTTP/1.1"
    timeout = 2
    factors: dict[str, float]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (as http.server has it)
        pass

    def answer(self, status: int, value: Any = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"null")

    def do_GET(self) -> None:
        self.answer(200, list(self.factors))

    def do_PUT(self) -> None:
        self.factors[self.path[1:]] = self.body()
        self.answer(200)

    def do_DELETE(self) -> None:
        self.factors.pop(self.path[1:], None)
        self.answer(200)

    def do_POST(self) -> None:
        rows, factor = self.body(), self.factors.get(self.path[1:])
        if factor is None:
            self.answer(404, "no such model")
        elif any(value < 0 for row in rows for value in row):
            self.answer(400, {"error": "negative"})
        else:
            self.answer(200, [[value * factor for value in row] for row in rows])


@pytest.fixture
def address() -> Iterator[str]:
    handler = type("Handler", (Multiplier,), {"factors": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def adapter(address: str, monkeypatch: pytest.MonkeyPatch) -> BackendAdapter:
    code, line = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), found)  # noqa: S102 (the page of this project)
    for protocol, adapter in eval(f"{{{line.strip()}}}", found).items():  # noqa: S307 (the same)
        monkeypatch.setitem(ADAPTERS, protocol, adapter)
    return create_adapter(BackendSettings(protocol="multiplier", addresses=(address,)))


def test_the_backend_of_the_page_works(adapter: BackendAdapter, tmp_path: Path) -> None:
    (tmp_path / "factor").write_text("3")
    adapter.probe()
    assert adapter.deployments() == frozenset()
    adapter.deploy("times", "1-aa", tmp_path)
    assert adapter.ready("times", "1-aa")
    assert adapter.signature("times", "1-aa").batchable
    rows = np.array([[1.0, 2.0], [-1.0, 0.0], [3.0, 4.0]])
    reply = run_batch(adapter, BatchRequest("times", "1-aa", (tensor.encode("x", rows),), (1, 1, 1)))
    assert [(part.count, part.detail) for part in reply.parts] == [(1, ""), (1, "negative"), (1, "")]
    assert tensor.decode(reply.parts[2].outputs[0]).tolist() == [[9.0, 12.0]]
    adapter.undeploy("times", "1-aa")
    with pytest.raises(NotDeployedError):
        adapter.predict("times", "1-aa", [tensor.encode("x", rows)])


def test_what_a_pool_brings_it_has_too(adapter: BackendAdapter) -> None:
    gone = create_adapter(BackendSettings(protocol="multiplier", addresses=("http://127.0.0.1:9",)))
    with pytest.raises(BackendUnreachableError):
        gone.probe()
