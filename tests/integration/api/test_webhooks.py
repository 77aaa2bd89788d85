"""Webhooks of a whole hub: called at the end, signed, again until it works, and seen in the prediction."""

import io
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
import requests

from mlhub.client import HubError, verify_webhook
from tests.integration.conftest import WEBHOOK_SECRET
from tests.integration.receiver import Call, Receiver, receiving

ASYNC = {"Prefer": "respond-async"}
PREDICT = "/model/digits/predict"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def submit(hub: Any, digits: Any, url: str, row: int = 0, **headers: str) -> requests.Response:
    body = {"input": digits.rows[row].tolist()}
    answer = hub.call("POST", PREDICT, json=body, headers=ASYNC | headers, params={"webhook": url})
    assert isinstance(answer, requests.Response)
    return answer


def delivered(hub: Any, place: str, count: int) -> list[dict[str, Any]]:
    """Return the deliveries of a prediction once there are that many."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = hub.call("GET", place).json()["webhook"]["deliveries"]
        return len(found) >= count

    hub.wait_until(there, f"{count} deliveries")
    return found


def newest(hub: Any) -> list[str]:
    """Return the name of the newest prediction; what it says may still change."""
    return [item["id"] for item in hub.call("GET", "/predictions?limit=1").json()]


def test_a_webhook_brings_the_prediction_signed(
    hub: Any, digits: Any, published: str, receiver: Receiver
) -> None:
    url = f"{receiver.url}/done?x=1"
    accepted = submit(hub, digits, url)
    assert accepted.json()["webhook"] == {"url": url, "deliveries": []}
    (call,) = receiver.wait_for(1)
    assert (call.path, call.headers["host"]) == ("/done?x=1", receiver.url.removeprefix("http://"))
    assert verify_webhook(WEBHOOK_SECRET, call.headers, call.body).id == accepted.json()["id"]
    with pytest.raises(HubError) as caught:
        verify_webhook(WEBHOOK_SECRET, call.headers, call.body + b" ")
    assert caught.value.code == "bad_webhook"
    brought = msgspec.json.decode(call.body)
    assert (brought["status"], brought["output"]) == ("succeeded", digits.expected[0])
    assert brought["id"] == accepted.json()["id"] == call.headers["webhook-id"]
    (delivery,) = delivered(hub, accepted.headers["Location"], 1)
    assert (delivery["status"], delivery["error"]) == (204, None)
    assert delivery["at"] >= brought["completed_at"]
    shown = hub.call("GET", accepted.headers["Location"]).json()
    assert brought == {name: value for name, value in shown.items() if name != "webhook"}


def test_a_webhook_may_come_in_a_header_and_with_open_inference(
    hub: Any, digits: Any, published: str, receiver: Receiver
) -> None:
    row = {"name": "input", "datatype": "FP64", "shape": [1, 64], "data": digits.rows[1].tolist()}
    headers = ASYNC | {"X-Webhook": f"{receiver.url}/oip"}
    answer = hub.call("POST", "/v2/models/digits/infer", json={"inputs": [row]}, headers=headers)
    assert answer.status_code == 202, answer.text
    (call,) = receiver.wait_for(1)
    assert msgspec.json.decode(call.body)["output"][0]["data"] == [digits.expected[1]]


def test_a_webhook_tells_of_the_end_of_a_file(
    hub: Any, digits: Any, published: str, receiver: Receiver
) -> None:
    rows = io.BytesIO()
    np.save(rows, np.resize(digits.rows, (3000, 64)))
    parameters = {"bulk": "true", "webhook": f"{receiver.url}/file"}
    headers = ASYNC | {"Content-Type": "application/x-npy"}
    accepted = hub.call("POST", PREDICT, data=rows.getvalue(), headers=headers, params=parameters)
    assert accepted.status_code == 202, accepted.text
    (call,) = receiver.wait_for(1)
    assert verify_webhook(WEBHOOK_SECRET, call.headers, call.body).id == accepted.json()["id"]
    brought = msgspec.json.decode(call.body)
    assert (brought["status"], brought["progress"]) == ("succeeded", {"done": 3000, "total": 3000})
    output = hub.call("GET", brought["urls"]["output"])
    assert np.load(io.BytesIO(output.content)).tolist() == np.resize(digits.expected, 3000).tolist()
    (delivery,) = delivered(hub, accepted.headers["Location"], 1)
    assert (delivery["status"], delivery["error"]) == (204, None)


def test_a_webhook_is_called_again_until_it_works(
    hub: Any, digits: Any, published: str, receiver: Receiver
) -> None:
    statuses: list[int | None] = [500, None, 200]
    receiver.answer = lambda _: statuses.pop(0)
    place = submit(hub, digits, receiver.url).headers["Location"]
    calls = receiver.wait_for(3)
    assert len({call.headers["webhook-id"] for call in calls}) == 1
    assert len({call.body for call in calls}) == 1
    deliveries = delivered(hub, place, 3)
    assert [delivery["status"] for delivery in deliveries] == [500, None, 200]
    assert [delivery["error"] is None for delivery in deliveries] == [False, False, True]


def test_a_webhook_that_never_works_is_left_alone(
    hub: Any, digits: Any, published: str, receiver: Receiver
) -> None:
    receiver.answer = lambda _: 302
    receiver.headers = {"Location": f"{receiver.url}/elsewhere"}
    gone = submit(hub, digits, f"{receiver.url}/gone").headers["Location"]
    assert len(delivered(hub, gone, 4)) == 4
    assert {call.path for call in receiver.calls} == {"/gone"}, "redirects are not followed"


def test_the_end_by_cancelling_calls_too_and_waits_for_a_worker(
    hub: Any, digits: Any, published: str, receiver: Receiver
) -> None:
    hub.parts["jobs"].stop()
    try:
        place = submit(hub, digits, receiver.url).headers["Location"]
        assert hub.call("POST", f"{place}/cancel").json()["status"] == "canceled"
    finally:
        hub.parts["jobs"].start()
    (call,) = receiver.wait_for(1)
    assert msgspec.json.decode(call.body)["status"] == "canceled"
    assert len(delivered(hub, place, 1)) == 1


def test_a_slow_receiver_holds_up_neither_predictions_nor_others(
    hub: Any, digits: Any, published: str, receiver: Receiver
) -> None:
    with receiving() as slow:

        def answer(_: Call) -> int:
            receiver.wait_for(1)
            return 200

        slow.answer = answer
        url = slow.url.replace("127.0.0.1", "localhost")
        places = [submit(hub, digits, url, row).headers["Location"] for row in range(20)]
        slow.wait_for(1)
        for place in places:
            assert hub.call("GET", place, headers={"Prefer": "wait=120"}).json()["status"] == "succeeded"
        submit(hub, digits, receiver.url)
        receiver.wait_for(1)
        for place in places:
            delivered(hub, place, 1)


def test_what_no_webhook_can_be_is_refused_before_anything_is_kept(
    hub: Any, digits: Any, published: str
) -> None:
    before = newest(hub)
    for url, code in {
        "http://10.0.0.1/": "webhook_address_refused",
        "http://127.0.0.2/": "webhook_address_refused",
        "http://[::1]/": "webhook_address_refused",
        "http://user:word@example.org/": "bad_webhook",
        "ftp://example.org/": "bad_webhook",
        "http://example.org:99999/": "bad_webhook",
        "x": "bad_webhook",
    }.items():
        refused = submit(hub, digits, url)
        assert (refused.status_code, refused.json()["code"]) == (422, code)
    body = {"input": digits.rows[0].tolist()}
    refused = hub.call("POST", PREDICT, json=body, headers={"X-Webhook": "http://127.0.0.1/"})
    assert (refused.status_code, refused.json()["code"]) == (422, "webhook_needs_async")
    assert newest(hub) == before


def test_a_key_stands_for_the_webhook_too(hub: Any, digits: Any, published: str, receiver: Receiver) -> None:
    key = {"Idempotency-Key": f"webhook-{receiver.url}"}
    first = submit(hub, digits, receiver.url, **key)
    assert submit(hub, digits, receiver.url, **key).json()["id"] == first.json()["id"]
    other = submit(hub, digits, f"{receiver.url}/other", **key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    delivered(hub, first.headers["Location"], 1)
    assert len(receiver.calls) == 1
