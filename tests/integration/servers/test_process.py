"""The server's processes start, end and are replaced as those who run it expect."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np
import pytest
import requests
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_it_ends_at_once_though_clients_keep_their_connections(start: Any, trained: Any) -> None:
    server = start()
    server.save("digits/1", trained.plain)
    with requests.Session() as session:
        assert session.get(f"{server.url}/v2/models/digits", timeout=60).ok
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 25, "less than requests at hand have"
    with pytest.raises(requests.ConnectionError):
        server.get("/v2")


def test_it_ends_only_after_the_requests_at_hand(start: Any, trained: Any, tmp_path: Path) -> None:
    server = start("--allow-pickles")
    server.save_pickle("naps/1", trained.slow_to_answer(tmp_path / "gate"))
    server.infer("naps", np.zeros((1, 1)))
    given = {"inputs": [{"name": "input", "shape": [1, 1], "datatype": "FP64", "data": [3.0]}]}
    body = msgspec.json.encode(given)
    head = f"POST /v2/models/naps/infer HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port), timeout=60) as connection:
        connection.sendall(head.encode() + body)
        # What came before this call has reached the application when it is answered.
        server.get("/v2/health/ready")
        server.process.terminate()
        server.wait_until(lambda: "Handling signal: term" in server.log, "the signal")
        (tmp_path / "gate").touch()
        assert server.process.wait(server.patience) == 0
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"transform"' in answer


def test_a_process_that_dies_is_replaced(start: Any, trained: Any) -> None:
    server = start()
    server.save("digits/1", trained.plain)
    server.infer("digits", trained.rows)
    (before,) = children(server.process.pid)
    os.kill(before, signal.SIGKILL)
    server.wait_until(lambda: children(server.process.pid) not in ([], [before]), "a new process")
    server.wait_until(server.is_ready, "readiness")
    server.infer("digits", trained.rows)


def test_several_processes_share_the_port(start: Any, trained: Any) -> None:
    server = start("--processes", "2")
    server.save("digits/1", trained.plain)
    server.wait_until(lambda: len(children(server.process.pid)) == 2, "both processes")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: server.infer("digits", trained.rows), range(100)))


def test_whichever_process_is_asked_tells_the_numbers_of_all(
    start: Any, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    server = start("--processes", "2")
    server.save("digits/1", trained.plain)

    def counts() -> dict[str, float]:
        (family,) = [
            family
            for family in text_string_to_metric_families(server.get("/metrics").text)
            if family.name == "mlhub_server_requests"
        ] or [Metric("", "", "counter")]
        return {item.labels["process"]: item.value for item in family.samples if item.name.endswith("_total")}

    asked = 0

    def each_was_asked() -> bool:
        nonlocal asked
        asked += 24
        list(pool.map(lambda _: server.infer("digits", trained.rows), range(24)))
        return len(counts()) == 2

    with ThreadPoolExecutor(8) as pool:
        server.wait_until(each_was_asked, "a request to each process")
    server.wait_until(lambda: {sum(counts().values()) for _ in range(12)} == {asked}, "the same from each")

    gone = children(server.process.pid)[0]
    os.kill(gone, signal.SIGKILL)
    server.wait_until(lambda: not any(f".{gone}@" in name for name in counts()), "the dead one's numbers go")
    assert server.stop() == 0
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_outside_its_folders(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    server = start()
    assert server.stop() == 0
    assert list(tmp_path.iterdir()) == []


def test_readiness_tells_when_the_repository_is_gone(start: Any) -> None:
    server = start()
    server.models.rmdir()
    answer = server.get("/v2/health/ready")
    assert answer.status_code == 503
    assert "cannot be read" in answer.json()["error"]
    assert server.get("/v2/health/live").status_code == 200


def test_log_lines_may_be_json(start: Any) -> None:
    server = start("--log-format", "json")
    assert all(line.startswith("{") for line in server.log.splitlines())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("caffe",), "no model server for 'caffe'"),
        (("sklearn", "--host", "0.0.0.0"), "--allow-remote"),  # noqa: S104 - refused
    ],
)
def test_what_cannot_start_says_why_in_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    ended = subprocess.run(
        (sys.executable, "-m", "mlhub", "serve", *arguments),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert words in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
