"""Calls on a hub: the token, repetition, and what is said when they fail."""

import time
from typing import Any

import pytest

from mlhub.client import Client, HubError

STATUS = {"version": "1", "ready": True}
BUSY = {"detail": "The hub is busy.", "code": "unavailable"}


def test_a_busy_hub_is_asked_again_after_the_pause_it_names(script: Any, client: Client, reply: Any) -> None:
    script.answer(reply(BUSY, 503, Retry_After="1"), reply(STATUS))
    started = time.monotonic()
    assert client.status().ready
    assert time.monotonic() - started >= 1
    assert len(script.requests) == 2


def test_a_hub_that_stays_busy_is_not_asked_for_ever(script: Any, client: Client, reply: Any) -> None:
    script.answer(reply(BUSY, 503, Retry_After="0"))
    with pytest.raises(HubError, match="The hub is busy") as caught:
        client.status()
    assert (caught.value.status, caught.value.code) == (503, "unavailable")
    assert len(script.requests) == 4


def test_a_pause_that_is_too_long_is_not_waited_for(script: Any, client: Client, reply: Any) -> None:
    script.answer(reply(BUSY, 503, Retry_After="3600"))
    with pytest.raises(HubError):
        client.status()
    assert len(script.requests) == 1


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500, 502, 504])
def test_other_errors_are_not_repeated(script: Any, client: Client, reply: Any, status: int) -> None:
    script.answer(reply(BUSY, status))
    with pytest.raises(HubError) as caught:
        client.status()
    assert caught.value.status == status
    assert len(script.requests) == 1


def test_a_prediction_is_repeated_when_the_connection_breaks(script: Any, client: Client, reply: Any) -> None:
    broken = reply()
    broken.silent = True
    script.answer(broken, reply({"model": "m", "version": "1", "output": [1, 2]}))
    assert client.predict("m", [[1.0], [2.0]]).tolist() == [1, 2]
    assert [request.body for request in script.requests] == [b'{"input":[[1.0],[2.0]]}'] * 2


@pytest.mark.parametrize("call", ["create", "submit", "delete"])
def test_work_that_would_be_done_twice_is_not_repeated(
    script: Any, client: Client, reply: Any, call: str
) -> None:
    broken = reply()
    broken.silent = True
    script.answer(broken)
    arguments = {"create": ("m", "Keras"), "submit": ("m", [1]), "delete": ("m",)}[call]
    with pytest.raises(HubError, match="broke") as caught:
        getattr(client, call)(*arguments)
    assert caught.value.code == "broken"
    assert len(script.requests) == 1


def test_a_hub_that_says_nothing_is_left_after_the_timeout(script: Any) -> None:
    script.next_reply = lambda: time.sleep(0.5) or script.replies[0]
    with Client(script.url, timeout=0.1) as client, pytest.raises(HubError, match="in time") as caught:
        client.status()
    assert caught.value.code == "no_answer"
    assert len(script.requests) == 1


def test_the_token_goes_with_every_call(script: Any, reply: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    script.answer(reply(STATUS))
    with Client(script.url, "secret") as client:
        client.status()
    monkeypatch.setenv("MLHUB_TOKEN", "other")
    monkeypatch.setenv("MLHUB_URL", script.url)
    with Client() as client:
        client.status()
    monkeypatch.delenv("MLHUB_TOKEN")
    with Client(script.url) as client:
        client.status()
    given = [request.headers.get("authorization") for request in script.requests]
    assert given == ["Bearer secret", "Bearer other", None]


def test_a_next_page_at_another_hub_is_not_followed(script: Any, client: Client, reply: Any) -> None:
    script.answer(reply([], Link='<http://127.0.0.1:9/models?cursor=x>; rel="next"'))
    with pytest.raises(HubError, match="somewhere else"):
        list(client.models())


def test_pages_are_asked_for_as_they_are_needed(script: Any, client: Client, reply: Any) -> None:
    def entry(name: str) -> dict[str, str]:
        return {"model": name, "type": "Keras", "state": "empty", "new": "later"}

    pages = [
        reply([entry("a"), entry("b")], Link='</models?cursor=1&tag=x>; rel="next"'),
        reply([entry("c")], Link='<?cursor=2>; rel="next"'),
        reply([]),
    ]
    script.answer(*pages)
    models = client.models(tag="x y")
    assert (next(models).model, next(models).model) == ("a", "b")
    assert [request.path for request in script.requests] == ["/models?tag=x+y&limit=200"]
    assert [model.model for model in models] == ["c"]
    assert [request.path for request in script.requests[1:]] == ["/models?cursor=1&tag=x", "/models?cursor=2"]
    script.requests.clear()
    script.answer(*pages)
    assert len(list(client.models(limit=1))) == 1
    assert [request.path for request in script.requests] == ["/models?limit=1"]


def test_a_wait_is_asked_for_in_whole_seconds(script: Any, client: Client, reply: Any) -> None:
    script.answer(reply({"model": "m", "version": "1", "output": 1}))
    client.predict("m", [1], wait=0.2)
    client.predict("m", [1])
    assert [request.headers.get("prefer") for request in script.requests] == ["wait=1", None]


def test_a_server_that_is_no_hub_is_named(script: Any, client: Client, reply: Any) -> None:
    script.answer(reply([1, 2]))
    with pytest.raises(HubError, match="not what a hub answers"):
        client.status()
    page = reply()
    page.body, page.status = b"<html>\xff</html>", 502
    script.answer(page)
    with pytest.raises(HubError, match="502 Bad Gateway") as caught:
        client.status()
    assert (caught.value.status, caught.value.code) == (502, "hub_error")


def test_a_problem_becomes_an_error_with_all_that_it_says(script: Any, client: Client, reply: Any) -> None:
    problem = {
        "type": "about:blank",
        "title": "Unprocessable",
        "status": 422,
        "detail": "It does not fit.",
        "code": "bad_input",
        "errors": [{"pointer": "/input/3", "detail": "No number."}],
        "more": [],
    }
    script.answer(reply(problem, 422, X_Request_ID="r1"))
    with pytest.raises(HubError, match=r"^It does not fit\.$") as caught:
        client.predict("m", [1])
    error = caught.value
    assert (error.status, error.code, error.request_id) == (422, "bad_input", "r1")
    assert [(field.pointer, field.detail) for field in error.fields] == [("/input/3", "No number.")]
