"""The operations calls tell of a hub what is so, also while parts of it are down."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from mlhub.client import Client
from mlhub.common.metrics import FAMILIES

ASYNC = {"Prefer": "respond-async"}
PREDICT, JOBS, DEAD = "mlhub.sklearn.predict", "mlhub.sklearn.jobs", "mlhub.dead"


def queue(hub: Any, name: str) -> dict[str, Any]:
    answer = hub.call("GET", f"/queues/{name}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def kinds(hub: Any) -> list[str]:
    return sorted(worker["kind"] for worker in hub.call("GET", "/workers").json())


def hears_workers(hub: Any) -> bool:
    try:
        return bool(hub.call("GET", "/workers").ok)
    except requests.ConnectionError:
        return False


def predicting(hub: Any) -> dict[str, Any]:
    """Return the worker that predicts once it is the only one: each process of the API hears for itself."""
    found: list[dict[str, Any]] = []

    def is_alone() -> bool:
        found[:] = [item for item in hub.call("GET", "/workers").json() if item["kind"] == "predict"]
        return len(found) == 1

    hub.wait_until(is_alone, "one worker that predicts")
    return found[0]


def test_every_queue_is_listed(hub: Any) -> None:
    answer = hub.call("GET", "/queues")
    assert int(answer.headers["Age"]) < 60
    listed = answer.json()
    assert {PREDICT, JOBS, DEAD} <= {item["name"] for item in listed}
    assert set(listed[0]) == {
        "name",
        "backend",
        "ready",
        "unacknowledged",
        "consumers",
        "publish_rate",
        "deliver_rate",
        "oldest_age",
        "sampled_at",
    }
    assert queue(hub, DEAD)["consumers"] == 0


def test_a_worker_appears_with_its_pool_and_disappears_when_it_is_gone(hub: Any) -> None:
    hub.wait_until(lambda: kinds(hub) == ["jobs", "predict"], "both workers")
    worker = predicting(hub)
    assert worker["pid"] == hub.parts["predict"].pid
    assert worker["backend"] == "sklearn"
    assert worker["concurrency"] > 0
    assert worker["memory"] > 10_000_000
    place = f"/workers/{worker['name']}"
    hub.wait_until(lambda: hub.call("GET", place).ok, "all processes of the API know it")
    assert hub.call("GET", place).json()["name"] == worker["name"]
    hub.parts["predict"].stop()
    try:
        hub.wait_until(lambda: kinds(hub) == ["jobs"], "its end")
        hub.wait_until(lambda: queue(hub, PREDICT)["consumers"] == 0, "a queue nobody listens to")
        counts = {"predict": 0, "jobs": 1}
        hub.wait_until(
            lambda: hub.call("GET", "/backends/sklearn").json().get("workers") == counts, "counts without it"
        )
    finally:
        hub.parts["predict"].start()
    hub.wait_until(lambda: kinds(hub) == ["jobs", "predict"], "its successor")


def test_a_killed_worker_disappears_too(hub: Any) -> None:
    hub.wait_until(lambda: kinds(hub) == ["jobs", "predict"], "both workers")
    before = predicting(hub)
    hub.parts["predict"].stop(9)
    hub.parts["predict"].start()

    def replaced() -> bool:
        found = [item["name"] for item in hub.call("GET", "/workers").json() if item["kind"] == "predict"]
        return len(found) == 1 and found != [before["name"]]

    hub.wait_until(replaced, "only the new one")


def test_backends_have_their_pools_and_queues(hub: Any) -> None:
    hub.wait_until_ready()
    (backend,) = (item for item in hub.call("GET", "/backends").json() if item["name"] == "sklearn")
    assert backend["types"] == ["ScikitLearn"]
    assert backend["protocol"] == "oip"
    assert backend["addresses"] == [hub.server_url]
    assert [item["name"] for item in backend["queues"]][:2] == [PREDICT, JOBS]
    hub.wait_until(lambda: hub.call("GET", "/backends/sklearn").json()["healthy"], "its health")


def test_backends_are_told_at_once_after_a_start_that_no_worker_saw(hub: Any) -> None:
    hub.parts["predict"].stop()
    hub.parts["api"].stop()
    try:
        hub.parts["api"].start()
        hub.wait_until(lambda: hears_workers(hub), "an API that knows the workers")
        # Its first look at the model server takes as long as such a look may.
        answer = hub.call("GET", "/backends/sklearn")
        assert answer.status_code == 200, answer.text
        backend = answer.json()
        assert (backend["healthy"], backend["workers"]) == (False, {"predict": 0, "jobs": 1})
        assert "No predict worker" in backend["detail"]
    finally:
        hub.parts["predict"].start()
    hub.wait_until_ready()


def test_status_names_what_the_hub_is_made_of(hub: Any) -> None:
    versions = hub.call("GET", "/status").json()["versions"]
    assert versions["broker"].startswith("RabbitMQ ")
    assert versions["database"][0].isdigit()
    assert versions["celery"].startswith("5.")


@pytest.mark.parametrize("path", ["/queues/none", "/workers/none", "/backends/none", "/queues/none/messages"])
def test_what_is_not_there_is_not_found(hub: Any, path: str) -> None:
    answer = hub.call("DELETE" if path.endswith("messages") else "GET", path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")


def test_purging_a_predict_queue_answers_those_who_wait(hub: Any, digits: Any, published: str) -> None:
    hub.parts["predict"].stop()
    try:
        body = {"input": digits.rows[0].tolist()}
        with ThreadPoolExecutor(4) as pool:
            waiting = [
                pool.submit(
                    hub.call, "POST", "/model/digits/predict", json=body, headers={"Prefer": "wait=120"}
                )
                for _ in range(4)
            ]
            hub.wait_until(lambda: queue(hub, PREDICT)["ready"] > 0, "a waiting batch")
            purged = 0

            def purge() -> bool:
                # As long as one waits: requests of another process may come a moment later.
                nonlocal purged
                purged += hub.call("DELETE", f"/queues/{PREDICT}/messages").json()["messages"]
                return all(one.done() for one in waiting)

            hub.wait_until(purge, "answers")
        answers = [one.result() for one in waiting]
        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(503, "queue_purged")}
        assert all("Retry-After" in answer.headers for answer in answers)
        assert purged > 0
    finally:
        hub.parts["predict"].start()
    assert hub.call("POST", "/model/digits/predict", json=body).status_code == 200


def test_purging_a_jobs_queue_cancels_what_waits(hub: Any, digits: Any, published: str) -> None:
    hub.parts["jobs"].stop()
    try:
        body = {"input": digits.rows[0].tolist()}
        places = [
            hub.call("POST", "/model/digits/predict", json=body, headers=ASYNC).headers["Location"]
            for _ in range(3)
        ]

        def is_waiting() -> bool:
            # Each process of the API may have looked before.
            seen = queue(hub, JOBS)
            return seen["ready"] > 0 and seen["oldest_age"] > 0

        hub.wait_until(is_waiting, "waiting work")
        with Client(hub.url) as client:
            done = client.purge(JOBS)
        assert (done.queue, done.canceled) == (JOBS, 3)
        assert done.messages > 0
        assert {hub.call("GET", place).json()["status"] for place in places} == {"canceled"}

        def is_empty() -> bool:
            seen = queue(hub, JOBS)
            return (seen["ready"], seen["oldest_age"]) == (0, 0)

        hub.wait_until(is_empty, "an empty queue")
    finally:
        hub.parts["jobs"].start()


def test_the_client_reads_what_the_calls_say(hub: Any) -> None:
    hub.wait_until(lambda: kinds(hub) == ["jobs", "predict"], "both workers")
    with Client(hub.url) as client:
        assert DEAD in {item.name for item in client.queues()}
        hub.wait_until(lambda: {item.kind for item in client.workers()} == {"predict", "jobs"}, "both kinds")
        counts = {"predict": 1, "jobs": 1}
        hub.wait_until(lambda: client.backends()[0].workers == counts, "their counts")


def numbers(url: str) -> dict[str, float]:
    """Read a page of numbers; series of all processes together."""
    answer = requests.get(f"{url}/metrics", timeout=60)
    assert answer.status_code == 200
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.name in FAMILIES or f"{family.name}_total" in FAMILIES
        for sample in family.samples:
            # By the names of the labels, as they are written.
            labels = [value for label, value in sorted(sample.labels.items()) if label != "process"]
            key = " ".join([sample.name, *filter(None, labels)])
            found[key] = found.get(key, 0) + sample.value
    return found


def test_metrics_have_all_processes_whoever_is_asked(hub: Any, digits: Any, published: str) -> None:
    hub.wait_until_ready()
    route = "/model/{name}/predict"
    answered = f"mlhub_http_requests_total POST {route} 200"
    body = {"input": digits.rows[0].tolist()}
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(lambda _: hub.call("POST", "/model/digits/predict", json=body).ok, range(64)))

    def complete() -> bool:
        # Other processes tell their numbers every two seconds.
        now = numbers(hub.url)
        counted = (
            f"mlhub_http_request_duration_seconds_count {route}",
            "mlhub_batch_requests_sum sklearn",
            "mlhub_batch_rows_sum sklearn",
            "mlhub_queue_wait_seconds_count sklearn",
            "mlhub_backend_calls_total sklearn predict ok",
            "mlhub_worker_messages_total sklearn predict",
            "mlhub_part_up broker",
            "mlhub_backend_up sklearn",
            "mlhub_pool_processes sklearn predict",
            "mlhub_queue_consumers mlhub.sklearn.predict",
        )
        return now.get(answered, 0) >= 64 and all(now.get(name, 0) > 0 for name in counted)

    hub.wait_until(complete, "all numbers")
    now = numbers(hub.url)
    assert "mlhub_queue_messages_ready mlhub.dead" in now
    assert now["mlhub_process_memory_bytes api"] > 2e7


def test_names_of_models_and_unknown_addresses_make_no_series(hub: Any) -> None:
    for number in range(20):
        hub.call("GET", f"/model/none-{number}")
        hub.call("GET", f"/nowhere-{number}")
    text = hub.call("GET", "/metrics").text
    assert "none-" not in text
    assert "nowhere-" not in text
    assert 'route="/model/{name}"' in text


def test_bytes_of_bundles_are_counted(hub: Any, digits: Any, published: str) -> None:
    before = numbers(hub.url)
    assert hub.call("GET", "/model/digits/download").content == digits.bundle
    hub.upload("digits", digits.bundle, version="1")

    def counted() -> bool:
        now = numbers(hub.url)
        return all(
            now.get(f"mlhub_bundle_bytes_total {way}", 0)
            >= before.get(f"mlhub_bundle_bytes_total {way}", 0) + len(digits.bundle)
            for way in ("in", "out")
        )

    hub.wait_until(counted, "bytes in and out")


def test_model_servers_have_numbers_of_their_own(hub: Any, digits: Any, published: str) -> None:
    before = numbers(hub.server_url)
    assert hub.call("POST", "/model/digits/predict", json={"input": digits.rows[0].tolist()}).ok
    now = numbers(hub.server_url)
    assert now["mlhub_server_requests_total ok"] > before.get("mlhub_server_requests_total ok", 0)
    assert now["mlhub_server_loaded_models"] >= 1
