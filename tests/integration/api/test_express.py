"""The short way of plain predictions and the long one answer alike."""

from typing import Any

import pytest
import requests

VARYING = ("x-request-id", "server-timing", "date")


def ask(hub: Any, content: Any, way: str, path: str = "/model/digits/predict", **headers: str) -> Any:
    """Ask; a header that the short way does not know makes a request take the long one."""
    sent = {"Content-Type": "application/json", **headers}
    if way == "long":
        sent["X-Anything"] = "else"
    return requests.post(hub.url + path, data=content, headers=sent, timeout=60)


def shape(answer: requests.Response) -> tuple[int, dict[str, str], Any]:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    for name in VARYING:
        headers.pop(name, None)
    return answer.status_code, headers, answer.json()


@pytest.fixture
def bodies(digits: Any) -> dict[str, str]:
    row = digits.rows[0].tolist()
    return {
        "a row": f'{{"input": {row}}}',
        "rows": f'{{"input": [{row}, {row}]}}',
        "whole numbers": '{"input": [' + ",".join(["1"] * 64) + "]}",
        "too short a row": '{"input": [1, 2, 3]}',
        "words": '{"input": ["a", "b"]}',
        "nothing": "",
        "no JSON": "{input: 1}",
        "no input": "{}",
        "more than an input": f'{{"input": {row}, "version": "1"}}',
        "unknown fields": f'{{"input": {row}, "colour": "red"}}',
        "named tensors": f'{{"inputs": [{{"name": "input", "shape": [1, 64], "datatype": "FP64", "data": {row}}}]}}',
        "a nested abyss": '{"input": ' + "[" * 5000 + "]" * 5000 + "}",
        "broken text": '{"input": "\\ud800"}',
    }


def test_every_body_gets_the_same_answer_either_way(hub: Any, published: str, bodies: dict[str, str]) -> None:
    assert ask(hub, bodies["a row"], "short").ok, "the route is known from here on"
    for name, body in bodies.items():
        short, long = ask(hub, body, "short"), ask(hub, body, "long")
        assert shape(short) == shape(long), name
        assert {"x-request-id"} <= {header.lower() for header in short.headers}
        assert ("server-timing" in short.headers) == ("server-timing" in long.headers), name


@pytest.mark.parametrize(
    "path", ["/model/nobody/predict", "/model/../predict", "/model//predict", "/model/a/b/predict"]
)
def test_other_addresses_are_not_mistaken(hub: Any, bodies: dict[str, str], path: str) -> None:
    short, long = (ask(hub, bodies["a row"], way, path) for way in ("short", "long"))
    assert shape(short) == shape(long)
    assert short.status_code in (404, 422)


def test_preferences_are_heard(hub: Any, published: str, bodies: dict[str, str]) -> None:
    answer = ask(hub, bodies["a row"], "short", Prefer="respond-async")
    assert answer.status_code == 202
    assert ask(hub, bodies["a row"], "short", Accept="text/html").status_code in (200, 406)


def test_the_clients_own_request_id_comes_back(hub: Any, published: str, bodies: dict[str, str]) -> None:
    answer = ask(hub, bodies["a row"], "short", **{"X-Request-ID": "mine-1"})
    assert answer.headers["X-Request-ID"] == "mine-1"
    answer = ask(hub, bodies["a row"], "short", **{"X-Request-ID": "not sane!"})
    assert answer.headers["X-Request-ID"] != "not sane!"


def test_a_body_that_comes_in_pieces_is_whole(hub: Any, published: str, bodies: dict[str, str]) -> None:
    text = bodies["a row"].encode()
    pieces = (text[start : start + 7] for start in range(0, len(text), 7))
    assert ask(hub, pieces, "short").json() == ask(hub, text, "short").json()
