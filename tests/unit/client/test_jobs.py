"""Submitted predictions: waiting, results, ends without a result."""

from typing import Any

import pytest

from mlhub.client import Client, HubError, Job


def record(status: str, **fields: Any) -> dict[str, Any]:
    return {"id": "j1", "status": status, **fields}


def test_a_job_is_asked_for_until_it_has_ended(script: Any, client: Client, reply: Any) -> None:
    script.answer(
        reply(record("starting"), 202),
        reply(record("processing")),
        reply(record("succeeded", output=[[1, 2]])),
    )
    job = client.submit("m", [[1]])
    assert job.result().tolist() == [[1, 2]]
    submitted, *looks = script.requests
    assert submitted.headers["prefer"] == "respond-async"
    assert submitted.headers["idempotency-key"]
    assert [(look.path, look.headers["prefer"]) for look in looks] == [("/predictions/j1", "wait=30")] * 2


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"status": "failed", "error": "Too large."}, "prediction_failed", "Too large."),
        ({"status": "canceled"}, "prediction_canceled", "canceled"),
        ({"status": "processing"}, "deadline_exceeded", "it is processing"),
    ],
)
def test_a_job_without_a_result_says_why(
    script: Any, client: Client, reply: Any, fields: dict[str, str], code: str, words: str
) -> None:
    script.answer(reply(record(**fields)))
    with pytest.raises(HubError, match=words) as caught:
        Job(client, "j1").result(timeout=0.05)
    assert caught.value.code == code


def test_named_outputs_come_by_name_and_in_their_types(script: Any, client: Client, reply: Any) -> None:
    outputs = [
        {"name": "y", "datatype": "FP32", "shape": [2], "data": [1, 2]},
        {"name": "z", "datatype": "BYTES", "shape": [1], "data": ["a"]},
    ]
    script.answer(reply(record("succeeded", output=outputs)))
    found = client.job("j1").outputs()
    assert (found["y"].tolist(), str(found["y"].dtype), found["z"].tolist()) == ([1, 2], "float32", [b"a"])
    with pytest.raises(HubError, match=r"several outputs \(y, z\)"):
        client.job("j1").result()


def test_an_id_cannot_lead_to_another_address(script: Any, client: Client, reply: Any) -> None:
    script.answer(reply(record("starting")))
    client.prediction("../models?x=1#")
    assert script.requests[0].path == "/predictions/..%2Fmodels%3Fx%3D1%23"
    with pytest.raises(HubError):
        client.prediction("..")
    assert len(script.requests) == 1
