"""Asynchronous predictions: kept first, done later, found again."""

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import requests

ASYNC = {"Prefer": "respond-async"}


def submit(hub: Any, digits: Any, row: int = 0) -> requests.Response:
    body = {"input": digits.rows[row].tolist()}
    return hub.call("POST", "/model/digits/predict", json=body, headers=ASYNC)


def newest(hub: Any) -> list[str]:
    """Return the name of the newest prediction; what it says may still change."""
    return [item["id"] for item in hub.call("GET", "/predictions?limit=1").json()]


def test_work_is_handed_over_and_found_done(hub: Any, digits: Any, published: str) -> None:
    accepted = submit(hub, digits)
    assert accepted.status_code == 202
    assert accepted.headers["Preference-Applied"] == "respond-async"
    place = accepted.headers["Location"]
    assert place == f"/predictions/{accepted.json()['id']}"
    done = hub.call("GET", place, headers={"Prefer": "wait=120"}).json()
    assert (done["status"], done["output"]) == ("succeeded", digits.expected[0])
    assert done["metrics"]["predict_time"] > 0
    assert done["urls"]["get"] == place


def test_bad_input_is_refused_before_anything_is_kept(hub: Any, published: str) -> None:
    before = newest(hub)
    answer = hub.call("POST", "/model/digits/predict", json={"input": [1]}, headers=ASYNC)
    assert answer.status_code == 422
    assert newest(hub) == before


def test_an_ended_prediction_cannot_be_cancelled(hub: Any, digits: Any, published: str) -> None:
    place = submit(hub, digits).headers["Location"]
    hub.call("GET", place, headers={"Prefer": "wait=120"})
    assert hub.call("POST", f"{place}/cancel").status_code == 409


def test_unknown_predictions_are_not_found(hub: Any) -> None:
    assert hub.call("GET", "/predictions/0123").status_code == 404
    assert hub.call("POST", "/predictions/0123/cancel").status_code == 404


def test_lists_come_newest_first_in_pages(hub: Any, digits: Any, published: str) -> None:
    placed = [submit(hub, digits, row).json()["id"] for row in range(4)]
    first = hub.call("GET", "/predictions?model=digits&limit=3")
    second = hub.call("GET", first.links["next"]["url"])
    listed = [item["id"] for item in first.json() + second.json()]
    assert listed[:4] == placed[::-1]
    assert hub.call("GET", "/predictions?status=odd").status_code == 422


def test_work_waits_for_a_worker_and_can_be_cancelled_meanwhile(
    hub: Any, digits: Any, published: str
) -> None:
    hub.parts["jobs"].stop()
    try:
        kept = submit(hub, digits, 1).headers["Location"]
        dropped = submit(hub, digits, 2).headers["Location"]
        assert hub.call("GET", kept).json()["status"] == "starting"
        assert hub.call("POST", f"{dropped}/cancel").json()["status"] == "canceled"
    finally:
        hub.parts["jobs"].start()
    done = hub.call("GET", kept, headers={"Prefer": "wait=120"}).json()
    assert (done["status"], done["output"]) == ("succeeded", digits.expected[1])
    assert hub.call("GET", dropped).json()["status"] == "canceled"


def test_work_whose_message_is_lost_is_done_all_the_same(
    hub: Any, digits: Any, published: str, broker: Any
) -> None:
    broker.kill()
    try:
        hub.wait_until(lambda: not hub.is_ready(), "the hub knows")
        accepted = submit(hub, digits, 3)
        assert accepted.status_code == 202, "the document is what counts"
    finally:
        broker.start()
    done = hub.call("GET", accepted.headers["Location"], headers={"Prefer": "wait=120"}).json()
    assert (done["status"], done["output"]) == ("succeeded", digits.expected[3])
    hub.wait_until_ready()


def test_events_tell_of_each_change_until_the_end(hub: Any, digits: Any, published: str) -> None:
    place = submit(hub, digits, 4).headers["Location"]
    answer = hub.call("GET", f"{place}/events")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    events = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event:")]
    assert events[-1] == "succeeded"
    assert len(events) == len(set(events))
    assert hub.call("GET", "/predictions/0123/events").status_code == 404
    # A browser that comes back after the end is told that there is nothing more.
    assert hub.call("GET", f"{place}/events", headers={"Last-Event-ID": "succeeded"}).status_code == 204
    again = hub.call("GET", f"{place}/events", headers={"Last-Event-ID": "starting"})
    assert again.text.count("event: succeeded") == 1


def test_later_only_if_it_takes_longer_than_the_client_waits(hub: Any, digits: Any, published: str) -> None:
    body = {"input": digits.rows[8].tolist()}
    both = {"Prefer": "respond-async, wait=120"}
    done = hub.call("POST", "/model/digits/predict", json=body, headers=both)
    assert (done.status_code, done.headers["Preference-Applied"]) == (200, "respond-async, wait=120")
    assert done.json()["output"] == digits.expected[8]
    assert hub.call("GET", done.headers["Location"]).json() == done.json()
    hub.parts["jobs"].stop()
    try:
        both = {"Prefer": "respond-async, wait=1"}
        later = hub.call("POST", "/model/digits/predict", json=body, headers=both)
        assert (later.status_code, later.json()["status"]) == (202, "starting")
        assert later.headers["Preference-Applied"] == "respond-async, wait=1"
    finally:
        hub.parts["jobs"].start()


def keyed(
    hub: Any, digits: Any, row: int, key: str, path: str = "/model/digits/predict"
) -> requests.Response:
    body = {"input": digits.rows[row].tolist()}
    return hub.call("POST", path, json=body, headers=ASYNC | {"Idempotency-Key": key})


def test_a_repeat_with_its_key_gets_the_first_answer(hub: Any, digits: Any, published: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: keyed(hub, digits, 5, "repeat"), range(8)))
    assert {answer.status_code for answer in answers} == {202}
    (place,) = {answer.headers["Location"] for answer in answers}
    done = hub.call("GET", place, headers={"Prefer": "wait=120"}).json()
    assert (done["status"], done["output"]) == ("succeeded", digits.expected[5])
    again = keyed(hub, digits, 5, "repeat")
    assert (again.status_code, again.json()["id"]) == (202, done["id"])


def test_a_key_is_for_one_order_only(hub: Any, digits: Any, published: str) -> None:
    first = keyed(hub, digits, 6, "single")
    for other in (
        keyed(hub, digits, 7, "single"),
        keyed(hub, digits, 6, "single", "/model/digits/predict?outputs=predict_proba"),
    ):
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert keyed(hub, digits, 6, "another").headers["Location"] != first.headers["Location"]
    assert keyed(hub, digits, 6, "k" * 256).status_code == 400


def test_open_inference_requests_have_keys_too(hub: Any, digits: Any, published: str) -> None:
    row = {"name": "input", "datatype": "FP64", "shape": [1, 64], "data": digits.rows[0].tolist()}
    headers = ASYNC | {"Idempotency-Key": "oip"}
    answers = [
        hub.call("POST", "/v2/models/digits/infer", json={"inputs": [row]}, headers=headers) for _ in "12"
    ]
    assert [answer.status_code for answer in answers] == [202, 202], answers[0].text
    assert answers[0].headers["Location"] == answers[1].headers["Location"]


def test_large_inputs_and_outputs_are_kept_in_the_bundle_store(hub: Any, digits: Any, published: str) -> None:
    def files() -> set[str]:
        return {path.name for path in hub.bundles.glob("??/*")}

    before = files()
    content = io.BytesIO()
    np.save(content, np.resize(digits.rows, (20_000, 64)))
    hub.parts["jobs"].stop()
    try:
        accepted = hub.call(
            "POST",
            "/model/digits/predict?outputs=predict_proba",
            data=content.getvalue(),
            headers=ASYNC | {"Content-Type": "application/x-npy"},
        )
        assert accepted.status_code == 202, accepted.text
        (given,) = files() - before
    finally:
        hub.parts["jobs"].start()
    place = accepted.headers["Location"]
    done = hub.call("GET", place, headers={"Prefer": "wait=120"}).json()
    assert done["status"] == "succeeded", done
    assert np.allclose(done["output"][:100], digits.estimator.predict_proba(digits.rows))
    assert len(done["output"]) == 20_000
    hub.wait_until(lambda: given not in files(), "the input is gone")
    assert len(files() - before) == 1
    listed = hub.call("GET", "/predictions?model=digits&limit=1").json()
    assert (listed[0]["output"], listed[0]["output_omitted"]) == (None, True)


def test_lists_are_filtered_by_status(hub: Any, digits: Any, published: str) -> None:
    place = submit(hub, digits).headers["Location"]
    done = hub.call("GET", place, headers={"Prefer": "wait=120"}).json()
    listed = hub.call("GET", "/predictions?model=digits&status=succeeded&limit=1").json()
    assert [item["id"] for item in listed] == [done["id"]]
    assert hub.call("GET", "/predictions?model=nobody&status=succeeded").json() == []
    assert hub.call("GET", "/predictions?cursor=odd").status_code == 400
