"""Large files over connections that break."""

import hashlib
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mlhub.client import Client, HubError


class Cutter:
    """Passes connections on to the hub, and cuts each of the first ones after some of its bytes."""

    def __init__(self, target: str, budgets: list[int]) -> None:
        host, port = target.removeprefix("http://").split(":")
        self._target = (host, int(port))
        self.budgets = budgets
        self.cuts = 0
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        # Wakes the thread that accepts, which closing alone does not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in self._ends:
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                hub = socket.create_connection(self._target)
                self._ends += [client, hub]
                budget = self.budgets.pop(0) if self.budgets else None
                for pair in ((client, hub), (hub, client)):
                    thread = threading.Thread(target=self._relay, args=(*pair, budget))
                    self._threads.append(thread)
                    thread.start()

    def _relay(self, source: socket.socket, target: socket.socket, budget: int | None) -> None:
        passed = 0
        with suppress(OSError):
            while piece := source.recv(65536):
                if budget is not None and passed + len(piece) > budget:
                    target.sendall(piece[: budget - passed])
                    self.cuts += 1
                    break
                target.sendall(piece)
                passed += len(piece)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def content() -> bytes:
    return b"\x1f\x8b" + random.Random(5).randbytes(3_000_000)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("mlhub.client.upload._LARGE", 1_000_000)
    monkeypatch.setattr("mlhub.client.resumable._PIECE", 900_000)
    monkeypatch.setattr("mlhub.client.resumable._PAUSE", 0.05)
    monkeypatch.setattr("mlhub.client.bundle._PAUSES", (0.05,) * 5)


@pytest.fixture
def cutter(hub: Any) -> Iterator[Cutter]:
    cutter = Cutter(hub.url, [])
    yield cutter
    cutter.close()


def test_an_upload_goes_on_where_its_connection_broke(
    hub: Any, cutter: Cutter, small_pieces: None, content: bytes, tmp_path: Path
) -> None:
    hub.create("cut-up")
    (tmp_path / "x").write_bytes(content)
    cutter.budgets += [1_200_000, 400_000, 500, 1_500_000]
    seen: list[tuple[int, int | None]] = []
    with Client(cutter.url) as client:
        version = client.upload(
            "cut-up", tmp_path / "x", "v1", wait=0, progress=lambda *counts: seen.append(counts)
        )
    assert cutter.cuts >= 2
    assert version.version == "v1"
    assert version.bundle is not None
    assert version.bundle.sha256 == hashlib.sha256(content).hexdigest()
    assert seen[-1] == (len(content), len(content))
    assert hub.call("GET", "/model/cut-up/download").content == content


class Killed(BaseException):
    """The process is gone."""


def test_an_upload_goes_on_in_a_later_run(
    hub: Any, small_pieces: None, content: bytes, tmp_path: Path
) -> None:
    hub.create("cut-off")
    bundle = tmp_path / "x"
    bundle.write_bytes(content)

    def die(done: int, _: int | None) -> None:
        if done > 2_000_000:
            raise Killed

    with Client(hub.url) as client, pytest.raises(Killed):
        client.upload("cut-off", bundle, "v1", wait=0, progress=die)
    (kept,) = (tmp_path / "state" / "mlhub" / "uploads").iterdir()
    address = kept.read_text()
    assert hub.call("HEAD", address).headers["Upload-Offset"] == "1800000"
    with Client(hub.url) as client:
        version = client.upload("cut-off", bundle, "v1", wait=0)
        assert version.bundle is not None
        assert version.bundle.sha256 == hashlib.sha256(content).hexdigest()
        assert hub.call("GET", "/model/cut-off/download").content == content
        # What the earlier run had sent, and the rest: nothing twice.
        shown = hub.call("GET", address).json()
        assert (shown["state"], shown["offset"]) == ("done", len(content))
        assert list(kept.parent.iterdir()) == []
        kept.write_text("/uploads/gone")
        assert client.upload("cut-off", bundle, "v1", wait=0).version == "v1"


def test_an_upload_that_is_refused_says_why(
    hub: Any, cutter: Cutter, small_pieces: None, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(content)
    with Client(cutter.url) as client:
        with pytest.raises(HubError, match="no model named") as caught:
            client.upload("cut-nowhere", tmp_path / "x")
        assert caught.value.status == 404
        hub.create("cut-taken")
        client.upload("cut-taken", tmp_path / "x", "v1", wait=0)
        (tmp_path / "x").write_bytes(content[:-1])
        with pytest.raises(HubError) as caught:
            client.upload("cut-taken", tmp_path / "x", "v1", wait=0)
        assert caught.value.code == "version_exists"


def test_a_download_goes_on_where_its_connection_broke(
    hub: Any, cutter: Cutter, small_pieces: None, content: bytes, tmp_path: Path
) -> None:
    hub.create("cut-down")
    assert hub.upload("cut-down", content, wait=0).status_code == 202
    cutter.budgets += [1_000_000, 700_000, 200]
    with Client(cutter.url) as client:
        path = client.download("cut-down", tmp_path / "x", "1")
    assert cutter.cuts >= 2
    assert path.read_bytes() == content
