"""The adapter against servers that misbehave: real sockets, each doing one thing wrong."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from mlhub.common import oip, oipshared, tensor
from mlhub.common.backend import BackendSettings
from mlhub.common.batch import BatchRequest
from mlhub.common.errors import (
    BackendError,
    BackendRefusedError,
    BackendTimeoutError,
    BackendUnreachableError,
    NotDeployedError,
)
from mlhub.common.oipshared import SharedAnswer
from mlhub.common.tensor import Tensor
from mlhub.workers.adapters import create_adapter
from mlhub.workers.adapters.base import BackendAdapter
from mlhub.workers.batch import run_batches

INPUTS = (tensor.encode("x", np.array([[1.0, 2.0]], dtype="<f4")),)
OUTPUT = tensor.encode("y", np.array([7], dtype="<i8"))

Behaviour = Callable[[socket.socket, str, bytes], None]
"""What to do with a connection on which a request, path and body, has come in whole."""


class Peer:
    """A server that reads HTTP and answers as it is told; each connection in a thread of its own."""

    def __init__(self, behaviour: Behaviour, port: int = 0) -> None:
        self.behaviour = behaviour
        self.paths: list[str] = []
        """Path of each request."""
        self.heads: list[bytes] = []
        """Its first line and headers."""
        self.connections = 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def stop_listening(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def close(self) -> None:
        self.stop_listening()
        for connection in self._open:
            # The behaviour may have closed it.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as file:
            try:
                while line := file.readline():
                    length = 0
                    head = line
                    while header := file.readline().strip():
                        head += header + b"\r\n"
                        name, _, value = header.partition(b":")
                        length = int(value) if name.lower() == b"content-length" else length
                    path = line.split()[1].decode()
                    self.paths.append(path)
                    self.heads.append(head)
                    self.behaviour(connection, path, file.read(length))
            except OSError:
                # It is over: shut down by the behaviour or by the test's end.
                return


@pytest.fixture
def peer() -> Iterator[Callable[[Behaviour], Peer]]:
    peers: list[Peer] = []

    def start(behaviour: Behaviour) -> Peer:
        peers.append(Peer(behaviour))
        return peers[-1]

    yield start
    for started in peers:
        started.close()


def adapter_to(*peers: Peer | str, timeout: float = 60, repository: Path | None = None) -> BackendAdapter:
    addresses = tuple(item if isinstance(item, str) else item.address for item in peers)
    return create_adapter(
        BackendSettings(addresses=addresses, timeout=timeout, load_timeout=timeout, repository=repository)
    )


def nobody() -> str:
    """Return an address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def reply(status: int, body: bytes = b"", *headers: str) -> bytes:
    head = "\r\n".join((f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""))
    return head.encode() + body


def prediction() -> bytes:
    return reply(200, oip.encode_response("m", "1", [OUTPUT])[0])


def answering(answer: Callable[[socket.socket], None] | bytes, extensions: tuple[str, ...] = ()) -> Behaviour:
    """Make a server that is well in all but its predictions."""

    def behave(connection: socket.socket, path: str, _body: bytes) -> None:
        if path == "/v2":
            connection.sendall(reply(200, json.dumps({"extensions": extensions}).encode()))
        elif isinstance(answer, bytes):
            connection.sendall(answer)
        else:
            answer(connection)

    return behave


def shut(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def reset(connection: socket.socket) -> None:
    # Without lingering, a close is a reset.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionResetError


def predict(adapter: BackendAdapter) -> tuple[Tensor, ...]:
    return adapter.predict("m", "1-aa", INPUTS)


Start = Callable[[Behaviour], Peer]


def test_a_server_that_is_well_answers(peer: Start) -> None:
    assert predict(adapter_to(peer(answering(prediction())))) == (OUTPUT,)


@pytest.mark.parametrize(
    ("status", "body", "family", "says"),
    [
        (400, b'{"error": "x has\\n the wrong shape"}', BackendRefusedError, "x has the wrong shape"),
        (422, b"not JSON", BackendRefusedError, "not JSON"),
        (413, b"", BackendRefusedError, "does not say why"),
        (400, b'{"error": "' + b"long " * 10_000 + b'"}', BackendRefusedError, "…"),
        (400, b"\xff" * 100, BackendRefusedError, "\ufffd"),
        (401, b"who are you?", BackendError, "does not let the hub in"),
        (403, b"not you", BackendError, "'credentials': not you"),
        (400, b'{"error": "\\u001b[31mred\\u0000"}', BackendRefusedError, "[31mred"),
        (
            400,
            b'{"error": "Traceback (most recent call last):\\n  at /x.py\\nE: bad"}',
            BackendRefusedError,
            "E: bad",
        ),
        (404, b'{"error": "no such model"}', NotDeployedError, "no such model"),
        (408, b"", BackendTimeoutError, "too slow"),
        (504, b"", BackendTimeoutError, "too slow"),
        (429, b'{"error": "later"}', BackendUnreachableError, "too busy: later"),
        (503, b"", BackendUnreachableError, "not available"),
        (500, b'{"error": "out of memory"}', BackendError, "status 500: out of memory"),
        (502, b"<html>", BackendError, "status 502"),
        (301, b"", BackendError, "status 301"),
        (204, b"", BackendError, "not of its protocol"),
    ],
)
def test_each_status_means_one_family(
    status: int, body: bytes, family: type[BackendError], says: str, peer: Start
) -> None:
    with pytest.raises(BackendError) as caught:
        predict(adapter_to(peer(answering(reply(status, body)))))
    assert type(caught.value) is family
    assert says in caught.value.detail
    assert len(caught.value.detail) < 2200
    assert caught.value.detail.isprintable()
    assert "/x.py" not in caught.value.detail


SHORT = (
    b'{"model_name": "m", "outputs": [{"name": "y", "datatype": "INT64", "shape": [2], '
    b'"parameters": {"binary_data_size": 8}}]}'
)
GARBAGE = {
    "no JSON": reply(200, b"hello"),
    "JSON of another kind": reply(200, b"[]"),
    "no body": reply(200),
    "no data": reply(
        200, b'{"model_name": "m", "outputs": [{"name": "y", "datatype": "INT64", "shape": [1]}]}'
    ),
    "another shape": reply(
        200,
        b'{"model_name": "m", "outputs": [{"name": "y", "datatype": "INT64", "shape": [3], "data": [1]}]}',
    ),
    "an unknown datatype": reply(
        200, b'{"model_name": "m", "outputs": [{"name": "y", "datatype": "F", "shape": [1], "data": [1]}]}'
    ),
    "deep nesting": reply(200, b'{"model_name": "m", "outputs": ' + b"[" * 100_000),
    "too short binary data": reply(200, SHORT + bytes(8), f"{oip.HEADER_LENGTH}: {len(SHORT)}"),
    "no length": reply(200, b"{}", f"{oip.HEADER_LENGTH}: many"),
    "a length that is too large": reply(200, b"{}", f"{oip.HEADER_LENGTH}: 99999"),
    "a length below zero": reply(200, b"{}", f"{oip.HEADER_LENGTH}: -5"),
    "no HTTP": b"220 mail.example ESMTP\r\n\r\n",
    "no line end": b"x" * 100_000,
    "a broken gzip": reply(200, b"not gzip", "Content-Encoding: gzip"),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_no_answer_of_the_protocol_is_a_failed_backend(name: str, peer: Start) -> None:
    with pytest.raises(BackendError) as caught:
        predict(adapter_to(peer(answering(GARBAGE[name]))))
    assert type(caught.value) is BackendError


def test_a_server_of_another_kind_is_a_failed_backend(peer: Start) -> None:
    with pytest.raises(BackendError, match="no Open Inference server"):
        predict(adapter_to(peer(lambda connection, _path, _body: connection.sendall(reply(200, b"<html>")))))


def test_nobody_there_is_unreachable() -> None:
    with pytest.raises(BackendUnreachableError, match="cannot be reached; is it running"):
        predict(adapter_to(nobody()))


def test_an_address_that_swallows_everything_is_unreachable_soon() -> None:
    """A listener whose queue is full takes no more connections, as a machine that is down."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        fill = [socket.socket() for _ in range(4)]
        for item in fill:
            item.settimeout(0)
            item.connect_ex(listener.getsockname())
        started = time.monotonic()
        with pytest.raises(BackendUnreachableError):
            predict(adapter_to(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60))
        assert time.monotonic() - started < 50
        for item in fill:
            item.close()


@pytest.mark.parametrize("end", [shut, reset])
def test_a_request_that_ends_its_connections_meets_two_servers_and_no_more(
    end: Callable[[socket.socket], None], peer: Start
) -> None:
    killed = [peer(answering(end)) for _ in range(3)]
    with pytest.raises(BackendUnreachableError, match="without an answer"):
        predict(adapter_to(*killed))
    met = [sum(path.endswith("infer") for path in started.paths) for started in killed]
    assert sorted(met) == [0, 1, 2], "once more to the same, once to another"


def test_an_answer_that_breaks_off_is_repeated(peer: Start) -> None:
    whole = prediction()
    answers = [whole[:-10], whole]

    def answer(connection: socket.socket) -> None:
        connection.sendall(answers.pop(0))
        if answers:
            shut(connection)

    assert predict(adapter_to(peer(answering(answer)))) == (OUTPUT,)


def test_a_kept_connection_that_was_closed_meanwhile_costs_no_prediction(peer: Start) -> None:
    def answer_and_leave(connection: socket.socket) -> None:
        connection.sendall(prediction())
        shut(connection)

    adapter = adapter_to(peer(answering(answer_and_leave)))
    for _ in range(20):
        assert predict(adapter) == (OUTPUT,)


def test_connections_are_kept(peer: Start) -> None:
    started = peer(answering(prediction()))
    adapter = adapter_to(started)
    for _ in range(20):
        predict(adapter)
    assert started.connections == 1


def test_a_server_that_hangs_is_a_timeout(peer: Start) -> None:
    adapter = adapter_to(peer(answering(lambda _connection: None)), timeout=0.3)
    started = time.monotonic()
    with pytest.raises(BackendTimeoutError, match="did not answer within"):
        predict(adapter)
    assert time.monotonic() - started < 30


def test_a_server_that_stops_in_the_middle_of_its_answer_is_a_timeout(peer: Start) -> None:
    adapter = adapter_to(
        peer(answering(lambda connection: connection.sendall(prediction()[:-10]))), timeout=0.3
    )
    with pytest.raises(BackendTimeoutError):
        predict(adapter)


def test_an_answer_without_end_does_not_fill_the_memory(peer: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlhub.workers.adapters.connection._LARGEST", 4 * 1024 * 1024)

    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            connection.sendall(bytes(65536))

    with pytest.raises(BackendError) as caught:
        predict(adapter_to(peer(answering(flood))))
    assert type(caught.value) is BackendError


# Several servers.


def test_calls_are_spread(peer: Start) -> None:
    both = [peer(answering(prediction())) for _ in range(2)]
    adapter = adapter_to(*both)
    for _ in range(10):
        predict(adapter)
    assert [infers(started) for started in both] == [5, 5]


def infers(peer: Peer) -> int:
    return sum(path.endswith("infer") for path in peer.paths)


def test_the_next_server_answers_for_one_that_is_away_until_it_comes_back(peer: Start) -> None:
    well, away = peer(answering(prediction())), nobody()
    adapter = adapter_to(away, well)
    for _ in range(6):
        assert predict(adapter) == (OUTPUT,)
    assert infers(well) == 6
    back = Peer(answering(prediction()), port=int(away.rpartition(":")[2]))
    try:
        deadline = time.monotonic() + 60
        while not infers(back):
            assert predict(adapter) == (OUTPUT,)
            assert time.monotonic() < deadline
    finally:
        back.close()


def test_a_server_that_goes_away_under_way_costs_no_prediction(peer: Start) -> None:
    def die(connection: socket.socket, path: str, body: bytes) -> None:
        answering(prediction())(connection, path, body)
        if infers(dying) == 3:
            dying.stop_listening()
            shut(connection)

    dying = peer(die)
    adapter = adapter_to(dying, peer(answering(prediction())))
    for _ in range(12):
        assert predict(adapter) == (OUTPUT,)
    assert infers(dying) == 3


def test_a_busy_server_is_passed_by(peer: Start) -> None:
    busy, well = peer(answering(reply(503))), peer(answering(prediction()))
    adapter = adapter_to(busy, well)
    for _ in range(6):
        assert predict(adapter) == (OUTPUT,)
    assert infers(busy) == 1


def test_when_all_are_busy_it_is_said(peer: Start) -> None:
    adapter = adapter_to(peer(answering(reply(503, b'{"error": "loading"}'))), nobody())
    for _ in range(2):
        with pytest.raises(BackendUnreachableError, match="not available: loading"):
            predict(adapter)


def test_when_none_can_be_reached_all_are_named() -> None:
    first, second = nobody(), nobody()
    with pytest.raises(BackendUnreachableError) as caught:
        predict(adapter_to(first, second))
    assert first in caught.value.detail
    assert second in caught.value.detail


# Tensors as JSON or binary.


def test_binary_tensors_are_sent_only_to_a_server_that_lists_them(peer: Start) -> None:
    bodies: list[bytes] = []

    def behave(connection: socket.socket, path: str, body: bytes) -> None:
        if path != "/v2":
            bodies.append(body)
        answering(prediction(), extensions)(connection, path, body)

    extensions: tuple[str, ...] = ("model_repository",)
    predict(adapter_to(peer(behave)))
    assert json.loads(bodies[0])["inputs"][0]["data"] == [1.0, 2.0]
    extensions = ("model_repository", oip.BINARY_EXTENSION)
    predict(adapter_to(peer(behave)))
    assert bodies[1].endswith(INPUTS[0].data)


def test_a_server_is_asked_once_what_it_can_do_and_again_when_it_was_lost(peer: Start) -> None:
    first = peer(answering(prediction()))
    adapter = adapter_to(first)
    for _ in range(5):
        predict(adapter)
    assert first.paths.count("/v2") == 1
    first.close()
    with pytest.raises(BackendUnreachableError):
        predict(adapter)
    second = Peer(answering(prediction()), port=int(first.address.rpartition(":")[2]))
    try:
        predict(adapter)
        assert second.paths.count("/v2") == 1
    finally:
        second.close()


def test_a_server_that_does_not_say_what_it_can_do_gets_json(peer: Start) -> None:
    def behave(connection: socket.socket, path: str, _body: bytes) -> None:
        connection.sendall(reply(404) if path == "/v2" else prediction())

    assert predict(adapter_to(peer(behave))) == (OUTPUT,)


# Several batches in one call.


BATCHES = [BatchRequest(name, "1-aa", INPUTS, (1,)) for name in ("m", "n", "o")]
SHARING = ("model_repository", oip.BINARY_EXTENSION, oipshared.EXTENSION)


def shared(*answers: SharedAnswer) -> bytes:
    return reply(200, oipshared.ENCODER.encode(answers))


def alone_and_together(together: bytes) -> Behaviour:
    """Make a server that answers calls for several batches so, and others well."""

    def behave(connection: socket.socket, path: str, body: bytes) -> None:
        answer = together if path == oipshared.PATH else prediction()
        answering(answer, SHARING)(connection, path, body)

    return behave


def outcomes(adapter: BackendAdapter) -> list[str]:
    return [reply.parts[0].code for reply in run_batches(adapter, BATCHES)]


@pytest.mark.parametrize("protocol", ["oip", "mlserver", "external"])
def test_a_server_that_does_not_list_calls_for_several_gets_one_call_for_each(
    protocol: str, peer: Start, tmp_path: Path
) -> None:
    started = peer(answering(prediction()))
    adapter = create_adapter(
        BackendSettings(protocol=protocol, addresses=(started.address,), repository=tmp_path)
    )
    assert outcomes(adapter) == ["", "", ""]
    assert oipshared.PATH not in started.paths
    assert len(started.paths) == 1 + len(BATCHES)


def test_a_server_that_lists_them_gets_one_call(peer: Start) -> None:
    body, length = oip.encode_response("m", "1", [OUTPUT], binary=None)
    refusal = SharedAnswer(400, None, b'{"error":"No."}', 0.1)
    late = SharedAnswer(504, None, b'{"error":"Slow."}', 0.1)
    started = peer(alone_and_together(shared(SharedAnswer(200, length, body, 0.25), refusal, late)))
    first, second, third = run_batches(adapter_to(started), BATCHES)
    assert started.paths == ["/v2", oipshared.PATH]
    assert first.parts[0].outputs == (OUTPUT,)
    assert first.backend_time == pytest.approx(0.25, abs=0.2)
    assert (second.parts[0].code, second.parts[0].detail) == ("backend_refused", "No.")
    assert third.parts[0].code == "backend_timeout"


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, b"no MessagePack"),
        shared(SharedAnswer(200, None, b"{}", 0.1)),
        reply(404),
        reply(413),
        reply(500, b'{"error":"It crashed."}'),
    ],
    ids=["garbage", "too few", "unknown", "too large", "crash"],
)
def test_when_a_call_for_several_fails_each_goes_alone(answer: bytes, peer: Start) -> None:
    assert outcomes(adapter_to(peer(alone_and_together(answer)))) == ["", "", ""]


def test_one_that_ends_its_connection_is_told_from_the_others(peer: Start) -> None:
    def behave(connection: socket.socket, path: str, body: bytes) -> None:
        bad = path == oipshared.PATH or "/n/" in path
        answering(shut if bad else prediction(), SHARING)(connection, path, body)

    assert outcomes(adapter_to(peer(behave))) == ["", "backend_unreachable", ""]


def test_a_server_that_is_away_fails_all_at_once() -> None:
    assert outcomes(adapter_to(nobody())) == ["backend_unreachable"] * 3


def test_threads_share_an_adapter(peer: Start) -> None:
    started = peer(answering(prediction()))
    adapter = adapter_to(started)
    results: list[tuple[Tensor, ...]] = []

    def work() -> None:
        results.extend(predict(adapter) for _ in range(25))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [(OUTPUT,)] * 100
    assert started.connections <= 4


# Credentials.


def test_credentials_are_shown_with_every_call_and_repeated_to_nobody(
    peer: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "secret").write_text("sesame")
    login = {"file": str(tmp_path / "secret")}
    seen: list[bytes] = []

    def repeat(connection: socket.socket, path: str, _body: bytes) -> None:
        seen.append(peers[0].heads[-1])
        connection.sendall(reply(404) if path == "/v2" else reply(400, b"I know you: sesame"))

    peers = [peer(repeat)]
    adapter = create_adapter(BackendSettings(addresses=(peers[0].address,), credentials=login))  # type: ignore[arg-type]
    with pytest.raises(BackendRefusedError, match="I know you: …"):
        predict(adapter)
    assert len(seen) == 2
    assert all(b"Authorization: Bearer sesame\r\n" in head for head in seen)
    assert "sesame" not in caplog.text


# Other calls.


def test_a_server_that_does_not_tell_what_it_has_is_said(peer: Start) -> None:
    with pytest.raises(BackendError, match="repository extension"):
        adapter_to(peer(answering(reply(404)))).deployments()
    with pytest.raises(BackendError, match="not of its protocol"):
        adapter_to(peer(answering(reply(200, b'{"models": []}')))).deployments()


def test_only_what_a_server_has_now_is_a_deployment(peer: Start) -> None:
    index = [
        {"name": "a", "version": "1", "state": "READY"},
        {"name": "b", "version": "1", "state": "LOADING"},
        {"name": "c", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"},
        {"name": "d"},
    ]
    answer = reply(200, json.dumps(index).encode())
    assert adapter_to(peer(answering(answer))).deployments() == {("a", "1"), ("b", "1")}
    lazy = answering(answer, (oip.LAZY_EXTENSION,))
    assert adapter_to(peer(lazy)).deployments() == {("a", "1"), ("b", "1"), ("c", "1")}


@pytest.mark.parametrize(("status", "ready"), [(200, True), (404, False), (400, False), (503, False)])
def test_readiness_is_the_status(status: int, ready: bool, peer: Start) -> None:
    adapter = adapter_to(peer(lambda connection, _path, _body: connection.sendall(reply(status))))
    assert adapter.ready("m", "1-aa") is ready


def test_a_probe_says_what_is_wrong(peer: Start) -> None:
    adapter_to(peer(lambda connection, _path, _body: connection.sendall(reply(200)))).probe()
    with pytest.raises(BackendError, match="is not ready"):
        adapter_to(peer(lambda connection, _path, _body: connection.sendall(reply(500)))).probe()
    with pytest.raises(BackendUnreachableError):
        adapter_to(nobody()).probe()


def test_one_server_that_is_ready_is_enough(peer: Start) -> None:
    well = peer(lambda connection, _path, _body: connection.sendall(reply(200)))
    tired = peer(lambda connection, _path, _body: connection.sendall(reply(503)))
    adapter = adapter_to(nobody(), tired, well)
    for _ in range(4):
        adapter.probe()


@pytest.mark.parametrize(
    "metadata",
    [
        b"{",
        b'{"inputs": 1}',
        b'{"inputs": [{"name": "x", "datatype": "FLOAT", "shape": [-1]}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [-2]}]}',
    ],
)
def test_metadata_that_is_not_of_the_protocol_is_a_failed_backend(metadata: bytes, peer: Start) -> None:
    adapter = adapter_to(peer(lambda connection, _path, _body: connection.sendall(reply(200, metadata))))
    with pytest.raises(BackendError):
        adapter.signature("m", "1-aa")


def test_without_a_repository_nothing_can_be_deployed(tmp_path: Path) -> None:
    adapter = adapter_to(nobody())
    with pytest.raises(BackendError, match="'repository'"):
        adapter.deploy("m", "1-aa", tmp_path)
    adapter.undeploy("m", "1-aa")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "model").write_text("x")
    return folder


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_that_cannot_be_told_to_load_is_said(
    status: int, files: Path, tmp_path: Path, peer: Start
) -> None:
    adapter = adapter_to(peer(answering(reply(status))), repository=tmp_path / "repository")
    with pytest.raises(NotDeployedError, match="repository extension"):
        adapter.deploy("m", "1-aa", files)
    adapter.undeploy("m", "1-aa")
    assert list((tmp_path / "repository").iterdir()) == []


def test_a_load_that_is_refused_says_why(files: Path, tmp_path: Path, peer: Start) -> None:
    refusing = peer(answering(reply(400, b'{"error": "not fitted"}')))
    with pytest.raises(BackendRefusedError, match="not fitted"):
        adapter_to(refusing, repository=tmp_path / "repository").deploy("m", "1-aa", files)


def test_every_server_that_can_be_reached_is_told(files: Path, tmp_path: Path, peer: Start) -> None:
    both = [peer(answering(reply(200, b"{}"))) for _ in range(2)]
    adapter = adapter_to(both[0], nobody(), both[1], repository=tmp_path / "repository")
    adapter.deploy("m", "1-aa", files)
    adapter.undeploy("m", "1-aa")
    for started in both:
        assert started.paths == ["/v2/repository/models/m/load", "/v2/repository/models/m/unload"]


def test_nothing_can_be_deployed_while_no_server_is_there(files: Path, tmp_path: Path) -> None:
    adapter = adapter_to(nobody(), repository=tmp_path / "repository")
    with pytest.raises(BackendUnreachableError):
        adapter.deploy("m", "1-aa", files)


def test_what_is_removed_while_no_server_is_there_is_gone(files: Path, tmp_path: Path, peer: Start) -> None:
    repository = tmp_path / "repository"
    adapter_to(peer(answering(reply(200))), repository=repository).deploy("m", "1-aa", files)
    assert (repository / "m" / "1-aa" / "model").exists()
    adapter_to(nobody(), repository=repository).undeploy("m", "1-aa")
    assert list(repository.iterdir()) == []


def test_a_server_that_fails_to_unload_is_said(tmp_path: Path, peer: Start) -> None:
    adapter = adapter_to(peer(answering(reply(500))), repository=tmp_path)
    with pytest.raises(BackendError, match="status 500"):
        adapter.undeploy("m", "1-aa")


# Models that somebody else put there.


def test_a_model_of_somebody_else_is_bound_by_its_name_or_by_the_options(peer: Start, tmp_path: Path) -> None:
    there = peer(answering(prediction()))
    adapter = create_adapter(
        BackendSettings(
            protocol="external",
            addresses=(there.address,),
            options={"models": {"m": {"model": "prod", "version": "7"}}},
        )
    )
    adapter.deploy("m", "1-aa", tmp_path)
    assert predict(adapter) == (OUTPUT,)
    assert adapter.predict("same", "1-bb", INPUTS) == (OUTPUT,)
    adapter.undeploy("m", "1-aa")
    assert [path for path in there.paths if path != "/v2"] == [
        "/v2/models/prod/versions/7/ready",
        "/v2/models/prod/versions/7/infer",
        "/v2/models/same/infer",
    ]
    with pytest.raises(BackendError, match="not the hub's"):
        adapter.deployments()


def test_a_model_that_nobody_put_there_is_said(peer: Start, tmp_path: Path) -> None:
    away = create_adapter(
        BackendSettings(protocol="external", addresses=(peer(answering(reply(404))).address,))
    )
    with pytest.raises(NotDeployedError, match="does not have 'm'"):
        away.deploy("m", "1-aa", tmp_path)
