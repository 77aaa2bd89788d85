"""Calls of webhooks over sockets, and their delivery by one process or several."""

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mlhub.common.addresses import Reach
from mlhub.common.prediction import Prediction, PredictionStatus
from mlhub.common.webhook import Webhook
from mlhub.storage.database import connect, now
from mlhub.storage.predictions import PredictionStore
from mlhub.storage.webhooks import Due, WebhookStore
from mlhub.workers.webhook.call import Caller
from mlhub.workers.webhook.deliverer import Deliverer
from mlhub.workers.webhook.policy import DeliveryPolicy
from tests.integration.receiver import Call, Receiver, receiving

HERE = Reach(everywhere=True)
QUICK = Caller(HERE, 1.0)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@contextmanager
def speaking(speak: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """Run a server that does with each connection what the test says, until the event is set."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                client, _ = server.accept()
                if ended.is_set():
                    client.close()
                    return
                # It is cut off where it does not end.
                with client, suppress(OSError):
                    speak(client, ended)

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}/"
        finally:
            ended.set()
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join()


def drip(text: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Answer a head, and then send a piece now and then, for ever."""

    def speak(client: socket.socket, ended: threading.Event) -> None:
        client.sendall(text)
        while not ended.wait(0.05):
            client.sendall(b"x")

    return speak


def test_a_receiver_that_drips_is_cut_off() -> None:
    with speaking(drip(b"HTTP/1.1 200 OK\r\nX-Header: ")) as url:
        outcome = QUICK.post(url, b"{}", {})
    assert (outcome.status, outcome.error) == (None, "It did not answer within 1 seconds.")


def test_an_answer_without_end_counts_and_is_not_read() -> None:
    with speaking(drip(b"HTTP/1.1 200 OK\r\n\r\n")) as url:
        # It is given up when its time is over: a longer one where the machine is slow.
        assert any(Caller(HERE, seconds).post(url, b"{}", {}).status == 200 for seconds in (1.0, 10.0, 60.0))

    def flood(client: socket.socket, ended: threading.Event) -> None:
        client.sendall(b"HTTP/1.1 500 No\r\nRetry-After: 7\r\n\r\n")
        while not ended.is_set():
            client.sendall(bytes(1024 * 1024))

    with speaking(flood) as url:
        outcome = Caller(HERE, 60.0).post(url, b"{}", {})
    assert (outcome.status, outcome.wait) == (500, 7.0)


@pytest.mark.parametrize("said", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 100])
def test_what_is_not_http_is_a_failure(said: bytes) -> None:
    with speaking(lambda client, _: client.sendall(said)) as url:
        outcome = QUICK.post(url, b"{}", {})
    assert (outcome.status, outcome.hopeless) == (None, False)
    assert outcome.error


def test_a_receiver_that_is_away_is_a_failure() -> None:
    # Bound, so that nobody else comes to listen there.
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        outcome = Caller(HERE, 60.0).post(f"http://127.0.0.1:{unheard.getsockname()[1]}/", b"{}", {})
    assert outcome.error == "Nothing listens there."


def test_an_address_is_checked_again_when_it_is_called(receiver: Receiver) -> None:
    here = receiver.url.replace("127.0.0.1", "localhost")
    outcome = Caller(Reach(networks=(ipaddress.ip_network("10.0.0.0/8"),)), 60.0).post(here, b"{}", {})
    assert outcome.hopeless
    assert "MLHUB_WEBHOOK_PRIVATE" in str(outcome.error)
    assert receiver.calls == []


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for `localhost`, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    time = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(time - timedelta(days=1))
        .not_valid_after(time + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_certificates_are_checked_against_the_name(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def speak(client: socket.socket, _: threading.Event) -> None:
        with context.wrap_socket(client, server_side=True) as secure:
            secure.recv(65536)
            secure.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with speaking(speak) as url:
        by_number = url.replace("http://", "https://")
        by_name = by_number.replace("127.0.0.1", "localhost")
        assert "certificate" in str(Caller(HERE, 60.0).post(by_name, b"{}", {}).error)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        trusting = Caller(HERE, 60.0)
        assert trusting.post(by_name, b"{}", {}).status == 204
        assert "certificate" in str(trusting.post(by_number, b"{}", {}).error)


@pytest.fixture
def stores(database: Any) -> Iterator[tuple[PredictionStore, WebhookStore]]:
    connected = connect(database.url, database.name)
    predictions, webhooks = PredictionStore(connected, timedelta(days=1)), WebhookStore(connected)
    predictions.create_indexes()
    webhooks.create_indexes()
    yield predictions, webhooks
    connected.client.close()


def ended(predictions: PredictionStore, identity: str, url: str, host: str) -> None:
    predictions.add(
        Prediction(
            id=identity,
            model="m",
            version="1",
            backend="b",
            deployment="d",
            inputs=(),
            created_at=now(),
            webhook=Webhook(url, host),
        )
    )
    assert predictions.end(identity, PredictionStatus.FAILED, error="for the test")


@contextmanager
def delivering(webhooks: WebhookStore, count: int = 1) -> Iterator[None]:
    policy = DeliveryPolicy(limit=3, pause=0.05)
    deliverers = [Deliverer(webhooks, Caller(HERE, 60.0), policy, (bytes(32),), 60.0) for _ in range(count)]
    for deliverer in deliverers:
        deliverer.start()
    try:
        yield
    finally:
        for deliverer in deliverers:
            deliverer.stop()


def test_of_several_processes_one_calls(
    stores: tuple[PredictionStore, WebhookStore], receiver: Receiver
) -> None:
    predictions, webhooks = stores
    for number in range(30):
        ended(predictions, f"p{number}", f"{receiver.url}/{number}", "a")
    with delivering(webhooks, 3):
        receiver.wait_for(30)
    assert sorted(call.path for call in receiver.calls) == sorted(f"/{number}" for number in range(30))
    assert webhooks.due((), 10) == []
    for number in range(30):
        webhook = predictions.get(f"p{number}").webhook
        assert webhook is not None
        assert [delivery.status for delivery in webhook.deliveries] == [204]


def test_a_host_that_is_slow_leaves_threads_to_others(
    stores: tuple[PredictionStore, WebhookStore], receiver: Receiver
) -> None:
    predictions, webhooks = stores
    under_way: list[int] = []
    count = 0
    lock = threading.Lock()
    other = threading.Event()

    def answer(call: Call) -> int:
        nonlocal count
        if call.path == "/quick":
            other.set()
            return 204
        with lock:
            count += 1
            under_way.append(count)
        other.wait(60)
        with lock:
            count -= 1
        return 204

    receiver.answer = answer
    for number in range(60):
        ended(predictions, f"slow{number}", f"{receiver.url}/slow", "slow")
    with delivering(webhooks):
        receiver.wait_for(1, "/slow")
        ended(predictions, "quick", f"{receiver.url}/quick", "quick")
        receiver.wait_for(1, "/quick")
        receiver.wait_for(60, "/slow")
    assert max(under_way) <= 8


def test_a_call_whose_process_died_is_made_by_another(
    stores: tuple[PredictionStore, WebhookStore], receiver: Receiver
) -> None:
    predictions, webhooks = stores
    ended(predictions, "p", receiver.url, "a")
    (due,) = webhooks.due((), 10)
    taken = webhooks.take(due, timedelta(minutes=10))
    assert taken is not None
    assert webhooks.take(due, timedelta(minutes=10)) is None, "it is in other hands"
    assert webhooks.due((), 10) == []
    held = Due(due.prediction, due.host, taken[1])
    assert webhooks.take(held, timedelta(0)) is not None, "its time is over"
    with delivering(webhooks):
        receiver.wait_for(1)
    webhook = predictions.get("p").webhook
    assert webhook is not None
    assert (webhook.attempts, len(webhook.deliveries)) == (3, 1)


def test_a_call_in_which_processes_die_is_given_up(
    stores: tuple[PredictionStore, WebhookStore], receiver: Receiver
) -> None:
    predictions, webhooks = stores
    ended(predictions, "p", receiver.url, "a")
    for _ in range(3):
        (due,) = webhooks.due((), 10)
        assert webhooks.take(due, timedelta(0)) is not None
    ended(predictions, "q", f"{receiver.url}/q", "a")
    with delivering(webhooks):
        receiver.wait_for(1, "/q")
    assert webhooks.due((), 10) == []
    assert [call.path for call in receiver.calls] == ["/q"]


def test_a_message_that_is_long_goes_without_its_output(
    stores: tuple[PredictionStore, WebhookStore], receiver: Receiver
) -> None:
    import msgspec
    import numpy as np

    from mlhub.common import tensor

    predictions, webhooks = stores
    webhook = Webhook(receiver.url, "a")
    predictions.add(
        Prediction(
            id="p",
            model="m",
            version="1",
            backend="b",
            deployment="d",
            inputs=(),
            created_at=now(),
            webhook=webhook,
        )
    )
    assert predictions.begin("p")
    result = (tensor.encode("y", np.full(300_000, 0.123)),)
    assert predictions.end("p", PredictionStatus.SUCCEEDED, result=result)
    with delivering(webhooks):
        (call,) = receiver.wait_for(1)
    brought = msgspec.json.decode(call.body)
    assert (brought["status"], brought["output"], brought["output_omitted"]) == ("succeeded", None, True)
