"""What clients see while parts of the hub are down, and that all is well again afterwards."""

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psutil
import requests


def predict(hub: Any, digits: Any, row: int = 0, wait: int = 120) -> requests.Response:
    body = {"input": digits.rows[row].tolist()}
    return hub.call("POST", "/model/digits/predict", json=body, headers={"Prefer": f"wait={wait}"})


@contextmanager
def load(hub: Any, digits: Any) -> Iterator[list[requests.Response]]:
    """Keep eight clients predicting; yields their answers, complete when the block ends."""
    answers: list[requests.Response] = []
    stop = threading.Event()

    def client(number: int) -> None:
        row = number
        while not stop.is_set():
            answer = predict(hub, digits, row % 100)
            if answer.ok:
                assert answer.json()["output"] == digits.expected[row % 100]
            answers.append(answer)
            row += 8

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(client, number) for number in range(8)]
        try:
            yield answers
        finally:
            stop.set()
        for one in clients:
            one.result()


@contextmanager
def alone(hub: Any, process: psutil.Process) -> Iterator[None]:
    """Have one process of the API answer everything, since the others are stopped."""
    others = [other for other in hub.api_processes() if other != process]
    try:
        for other in others:
            other.suspend()
            hub.wait_until(lambda other=other: other.status() == psutil.STATUS_STOPPED, "its stop")
        yield
    finally:
        for other in others:
            other.resume()


def test_a_killed_worker_fails_no_request(hub: Any, digits: Any, published: str) -> None:
    worker = hub.parts["predict"]
    with load(hub, digits) as answers:
        hub.wait_until(lambda: len(answers) > 50, "load")
        worker.stop(signal.SIGKILL)
        worker.start()
        count = len(answers)
        hub.wait_until(lambda: len(answers) > count + 200, "load goes on")
    assert {answer.status_code for answer in answers} == {200}


def test_a_broker_that_restarts_fails_requests_with_503_only(
    hub: Any, digits: Any, published: str, broker: Any
) -> None:
    with load(hub, digits) as answers:
        hub.wait_until(lambda: len(answers) > 50, "load")
        broker.kill()
        broker.start()
        hub.wait_until_ready()
        count = len(answers)
        hub.wait_until(lambda: len(answers) > count + 200, "load goes on")
    failed = [answer for answer in answers if not answer.ok]
    assert {answer.status_code for answer in failed} <= {503}
    assert all("Retry-After" in answer.headers for answer in failed)


def test_without_a_broker_requests_get_503_and_readiness_names_it(
    hub: Any, digits: Any, published: str, broker: Any
) -> None:
    broker.kill()
    try:
        answer = predict(hub, digits)
        assert (answer.status_code, answer.json()["code"]) == (503, "broker_unavailable")
        assert "Retry-After" in answer.headers
        ready = hub.call("GET", "/health/ready")
        assert ready.status_code == 503
        assert "broker" in ready.json()["detail"]
        for path in ("/queues", "/workers", "/backends"):
            hub.wait_until(lambda path=path: hub.call("GET", path).status_code == 503, f"503 of {path}")
            assert "Retry-After" in hub.call("GET", path).headers
        assert hub.call("GET", "/health/live").status_code == 200
        assert hub.call("GET", "/status").json()["broker"]["healthy"] is False
        assert hub.call("GET", "/model/digits").status_code == 200, "metadata needs no broker"
    finally:
        broker.start()
    hub.wait_until_ready()
    assert predict(hub, digits).status_code == 200


def test_without_a_model_server_requests_get_502_and_status_names_it(
    hub: Any, digits: Any, published: str
) -> None:
    server = hub.parts["server"]
    server.stop(signal.SIGKILL)
    try:
        answer = predict(hub, digits)
        assert (answer.status_code, answer.json()["code"]) == (502, "backend_unreachable")
        backend = hub.call("GET", "/status").json()["backends"][0]
        assert backend["healthy"] is False
        assert "cannot be reached" in backend["detail"]
        assert "sklearn" in hub.call("GET", "/health/ready").json()["detail"]
    finally:
        server.start()
    hub.wait_until_ready()
    assert predict(hub, digits).status_code == 200, "the model is loaded again on demand"


def test_without_a_worker_the_deadline_is_kept(hub: Any, digits: Any, published: str) -> None:
    worker = hub.parts["predict"]
    worker.stop()
    try:
        answer = predict(hub, digits, wait=1)
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
    finally:
        worker.start()
    assert predict(hub, digits).status_code == 200


def test_without_a_database_predictions_go_on_and_the_rest_gets_503(
    hub: Any, digits: Any, published: str, database_server: Any
) -> None:
    # Each API process has to know the route before.
    for process in hub.api_processes():
        with alone(hub, process):
            assert predict(hub, digits).ok
    database_server.kill()
    try:
        answer = hub.call("GET", "/model/digits")
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert "database" in hub.call("GET", "/health/ready").json()["detail"]
        assert predict(hub, digits).status_code == 200
    finally:
        database_server.start()
    hub.wait_until_ready()
    assert hub.call("GET", "/model/digits").status_code == 200


def test_a_full_queue_pushes_back(hub: Any, digits: Any, published: str, fill_queue: Any) -> None:
    worker = hub.parts["predict"]
    worker.stop()
    try:
        with fill_queue():
            answer = predict(hub, digits)
        assert (answer.status_code, answer.json()["code"]) == (503, "queue_full")
        assert "Retry-After" in answer.headers
    finally:
        worker.start()
    assert predict(hub, digits).status_code == 200


def test_a_stopped_api_process_is_replaced_without_a_trace_in_answers(
    hub: Any, digits: Any, published: str
) -> None:
    victim, other = hub.api_processes()
    victim.kill()
    hub.wait_until(lambda: len({*hub.api_processes()} - {victim, other}) == 1, "a successor")
    hub.wait_until_ready()
    assert predict(hub, digits).status_code == 200
