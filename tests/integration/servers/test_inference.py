"""A real server answers as scikit-learn itself does, and refuses in the protocol's form what it cannot do."""

import operator
import socket
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np
import pytest
import requests
import skops.io
from sklearn.preprocessing import FunctionTransformer

from mlhub.common import oipshared
from mlhub.common.oipshared import SharedAnswer, SharedCall, SharedRequest

INFER = "/v2/models/digits/versions/1-aa/infer"
HEADER = "Inference-Header-Content-Length"


def body(**changes: Any) -> dict[str, Any]:
    given = {"name": "input", "shape": [1, 64], "datatype": "FP64", "data": [0.5] * 64} | changes
    return {"inputs": [{key: value for key, value in given.items() if value is not None}]}


def refused(answer: requests.Response, status: int) -> str:
    """Check that an answer is an error of the protocol; return its sentence."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    (key, sentence), *others = answer.json().items()
    assert key == "error"
    assert others == []
    assert sentence.endswith(".")
    assert "Traceback" not in sentence
    assert ".py" not in sentence
    return str(sentence)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("count", [1, 100])
def test_answers_equal_the_estimators_own(server: Any, trained: Any, count: int, *, binary: bool) -> None:
    rows = trained.rows[:count]
    for version, estimator in (("1-aa", trained.plain), ("2-bb", trained.scaled)):
        answer = server.infer(f"digits/versions/{version}", rows, binary=binary)
        assert list(answer) == ["predict"]
        np.testing.assert_array_equal(answer["predict"], estimator.predict(rows), strict=True)


@pytest.mark.parametrize("binary", [True, False])
def test_probabilities_come_when_asked_for_by_name(server: Any, trained: Any, *, binary: bool) -> None:
    answer = server.infer("digits/versions/1-aa", trained.rows, "predict_proba", binary=binary)
    assert list(answer) == ["predict_proba"]
    expected = trained.plain.predict_proba(trained.rows)
    np.testing.assert_array_equal(answer["predict_proba"], expected, strict=True)


def test_without_a_version_the_newest_answers(server: Any, trained: Any) -> None:
    answer = server.post("/v2/models/digits/infer", body())
    assert answer.json()["model_version"] == "2-bb"
    found = server.infer("digits", trained.rows)["predict"]
    np.testing.assert_array_equal(found, trained.scaled.predict(trained.rows))


def test_data_may_be_nested_and_of_a_narrower_datatype(server: Any, trained: Any) -> None:
    rows = trained.rows[:3].astype(int)
    given = body(shape=[3, 64], datatype="INT64", data=rows.tolist())
    answer = server.post(INFER, given).json()
    assert answer["outputs"][0]["data"] == trained.plain.predict(rows).tolist()


def test_one_output_may_be_binary_and_another_json(server: Any) -> None:
    outputs = [{"name": "predict", "parameters": {"binary_data": True}}, {"name": "predict_proba"}]
    answer = server.post(INFER, body() | {"outputs": outputs, "id": "mixed"})
    length = int(answer.headers[HEADER])
    head = msgspec.json.decode(answer.content[:length])
    assert head["id"] == "mixed"
    assert head["outputs"][0]["parameters"] == {"binary_data_size": 8}
    assert len(head["outputs"][1]["data"]) == 10
    assert len(answer.content) == length + 8


def test_the_server_tells_what_it_is(server: Any) -> None:
    answer = server.get("/v2").json()
    assert answer["name"] == "mlhub"
    assert {"binary_tensor_data", "model_repository"} <= set(answer["extensions"])
    assert server.get("/v2/health/live").status_code == 200
    assert server.get("/v2/health/ready").status_code == 200


def shared(server: Any, *requests_: SharedRequest, patience: float = 60) -> list[SharedAnswer]:
    text = oipshared.ENCODER.encode(SharedCall(requests_, patience))
    answer = server.post(oipshared.PATH, text, headers={"Content-Type": oipshared.TYPE})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == oipshared.TYPE
    return list(oipshared.ANSWERS.decode(answer.content))


def test_several_requests_in_one_call_are_answered_as_if_alone(server: Any) -> None:
    assert oipshared.EXTENSION in server.get("/v2").json()["extensions"]
    good, bad = (msgspec.json.encode(body(**change)) for change in ({}, {"name": "pixels"}))
    hostile = ("../secret", "..", "/etc", "\x00", "é")
    asked = [("digits", "1-aa", good), ("digits", None, good), ("digits", "1-aa", bad), ("nope", "1", good)]
    answers = shared(
        server,
        *(SharedRequest(model, version, None, text) for model, version, text in asked),
        *(SharedRequest(name, name, None, good) for name in hostile),
        SharedRequest("digits", "1-aa", 9999, good),
    )
    statuses = [200, 200, 400, 404] + [404] * len(hostile) + [400]
    assert [answer.status for answer in answers] == statuses
    for (model, version, text), answer in zip(asked, answers, strict=False):
        path = f"/v2/models/{model}" + (f"/versions/{version}" if version else "")
        assert answer.body == server.post(f"{path}/infer", text).content
        assert answer.seconds >= 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no MessagePack",
        b"{}",
        oipshared.ENCODER.encode(SharedCall((), 1.0)),
        oipshared.ENCODER.encode(SharedCall((SharedRequest("m", "1", None, b""),), 0.0)),
        oipshared.ENCODER.encode(SharedCall((SharedRequest("m", "1", None, b""),), float("nan"))),
        oipshared.ENCODER.encode([[["m", 1, None, b""]], 1.0]),
        b"\x91" * 100_000,
    ],
)
def test_what_is_no_call_for_several_is_refused(server: Any, content: bytes) -> None:
    refused(server.post(oipshared.PATH, content), 400)


def test_a_model_tells_what_it_takes_and_gives(server: Any) -> None:
    for path in ("/v2/models/digits", "/v2/models/digits/versions/1-aa"):
        assert server.get(path).json() == {
            "name": "digits",
            "versions": ["2-bb", "1-aa"],
            "platform": "sklearn",
            "inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, 64]}],
            "outputs": [
                {"name": "predict", "datatype": "INT64", "shape": [-1]},
                {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 10]},
            ],
        }
        assert server.get(f"{path}/ready").status_code == 200


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (body(name="pixels"), "'input' is missing"),
        (body(shape=[64]), r"shape [64]; the model takes [-1, 64]"),
        (body(shape=[1, 63], data=[0.5] * 63), "shape [1, 63]"),
        (body(shape=[1, 65]), "has 64 elements"),
        (body(shape=[-1, 64]), "say how many rows there are"),
        (body(datatype="FP128"), "no datatype 'FP128'"),
        (body(datatype="BYTES", data=["a"] * 64), "is BYTES; the model takes FP64"),
        (body(data=["a"] * 64), "Expected"),
        (body(data=None), "has no data"),
        (body(shape=[0, 64], data=[]), "refuses this input"),
        ({"inputs": []}, "'input' is missing"),
        ({}, "not an Open Inference request"),
        ([], "not an Open Inference request"),
        (body() | {"outputs": [{"name": "nope"}]}, "no output 'nope'"),
        (b"", "The body is empty"),
        (b"{", "ends too early"),
        (b"\xff\xfe", "UTF-16"),
        (b"\xff", "not JSON: invalid character"),
        (b'{"inputs":[{"name":"input","shape":[1],"datatype":"FP64","data":[NaN]}]}', "JSON has no NaN"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_a_bad_request_is_refused_with_the_reason(server: Any, given: Any, words: str) -> None:
    assert words in refused(server.post(INFER, given), 400)


def test_what_the_estimator_refuses_is_refused(server: Any) -> None:
    data = np.full((1, 64), np.nan).tobytes()
    head = msgspec.json.encode(body(data=None, parameters={"binary_data_size": len(data)}))
    answer = server.post(INFER, head + data, headers={HEADER: str(len(head))})
    assert "contains NaN" in refused(answer, 400)


@pytest.mark.parametrize("length", ["-1", "x", "", "1e3", "999999", "0", "5", "²"])
def test_a_wrong_header_length_is_refused(server: Any, length: str) -> None:
    headers = {HEADER: length.encode()}
    refused(server.post(INFER, body(), headers=headers), 400)


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "%2e%2e",
        "..%2f..%2fetc",
        "%2Fetc",
        "a%00b",
        "%00",
        "mod%C3%A8le",
        "%F0%9F%98%80",
        "%ff",
        "x" * 129,
        ".hidden",
        "a%20b",
        "a\\b",
        "digits%0a",
    ],
)
def test_hostile_names_lead_nowhere(server: Any, name: str) -> None:
    # requests would tidy the path up, so the line goes out as it is.
    for path in (
        f"/v2/models/{name}",
        f"/v2/models/digits/versions/{name}",
        f"/v2/models/{name}/versions/1-aa",
    ):
        status, text = raw_get(server.url, path)
        assert status == 404, (path, text)
        assert '"error"' in text


def raw_get(url: str, path: str) -> tuple[int, str]:
    port = urlsplit(url).port
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    return int(answer.split()[1]), answer


def test_a_name_in_a_repository_call_cannot_lead_out(server: Any) -> None:
    secret = server.models.parent / "secret"
    secret.mkdir()
    (secret / "model.skops").write_bytes(b"x")
    for version in ("../../secret", "..", "/etc", "\x00", "é"):
        answer = server.post("/v2/repository/models/digits/load", {"parameters": {"version": version}})
        refused(answer, 404)


def test_unknown_models_versions_and_addresses_are_told_apart(server: Any) -> None:
    assert "no model 'nope'" in refused(server.get("/v2/models/nope"), 404)
    assert "no version '9'" in refused(server.get("/v2/models/digits/versions/9"), 404)
    assert "no model 'nope'" in refused(server.post("/v2/models/nope/infer", body()), 404)
    assert "nothing at /v2/nope" in refused(server.get("/v2/nope"), 404)
    refused(server.get("/"), 404)
    assert "use one of POST" in refused(server.get(INFER), 405)
    assert "GET" in refused(server.post("/v2/models/digits"), 405)


@pytest.mark.parametrize("given", [b"[", b"[]", {"parameters": []}, {"parameters": {"version": 3}}, b"\xff"])
def test_a_bad_repository_call_is_refused(server: Any, given: Any) -> None:
    refused(server.post("/v2/repository/models/digits/load", given), 400)
    refused(server.post("/v2/repository/models/digits/unload", given), 400)


def test_a_body_that_is_too_large_is_refused(start: Any, trained: Any) -> None:
    server = start("--max-body-bytes", "10000")
    server.save("digits/1-aa", trained.plain)
    server.infer("digits", trained.rows[:10])
    for big in (b" " * 10_001, b" " * 30_000_000, iter([b" " * 5000] * 3), iter([b" " * 50_000] * 500)):
        assert "10000 bytes" in refused(server.post(INFER, big), 413)
    server.infer("digits", trained.rows[:10])


def test_a_body_that_breaks_off_does_no_harm(server: Any, trained: Any) -> None:
    port = urlsplit(server.url).port
    for head in ("Content-Length: 1000", "Transfer-Encoding: chunked"):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(f"POST {INFER} HTTP/1.1\r\nHost: test\r\n{head}\r\n\r\n".encode() + b"10\r\n{")
    server.infer("digits", trained.rows)
    assert "crashed" not in server.log


def test_an_untrusted_model_is_refused_with_the_names_of_its_types(server: Any, trained: Any) -> None:
    function = FunctionTransformer(operator.neg)
    server.save("odd/1", function)
    (untrusted,) = skops.io.get_untrusted_types(data=skops.io.dumps(function))
    for answer in (
        server.get("/v2/models/odd/versions/1"),
        server.get("/v2/models/odd/versions/1/ready"),
        server.post("/v2/repository/models/odd/load", {"parameters": {"version": "1"}}),
        server.post("/v2/models/odd/versions/1/infer", body()),
    ):
        assert f"not trusted: {untrusted}" in refused(answer, 400)


def test_pickles_are_refused_unless_the_administrator_allows_them(server: Any, trained: Any) -> None:
    server.save_pickle("pickled/1", trained.plain)
    assert "is a pickle" in refused(server.get("/v2/models/pickled"), 400)


def test_a_broken_file_is_refused_and_others_go_on(server: Any, trained: Any) -> None:
    folder = server.models / "broken" / "1"
    folder.mkdir(parents=True)
    (folder / "model.skops").write_bytes(skops.io.dumps(trained.plain)[:500])
    assert "cannot be loaded" in refused(server.get("/v2/models/broken"), 400)
    server.infer("digits", trained.rows)
