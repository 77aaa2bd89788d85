"""Synchronous predictions through API, queue, worker and model server."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
import pytest
import requests

from mlhub.common import oip, tensor

JSON = {"Content-Type": "application/json"}


def predict(hub: Any, body: Any, **options: Any) -> requests.Response:
    return hub.call("POST", "/model/digits/predict", json=body, **options)


def test_one_row_gets_one_output_with_get_and_post(hub: Any, digits: Any, published: str) -> None:
    body = {"input": digits.rows[0].tolist()}
    for method in ("GET", "POST"):
        answer = hub.call(method, f"/model/{published}/predict", json=body)
        assert answer.status_code == 200
        assert answer.json() == {"model": "digits", "version": "1", "output": digits.expected[0]}
        assert "backend;dur=" in answer.headers["Server-Timing"]


def test_many_rows_get_a_list_equal_to_the_estimators_own(hub: Any, digits: Any, published: str) -> None:
    answer = predict(hub, {"input": digits.rows.tolist()})
    assert answer.json()["output"] == digits.expected
    assert predict(hub, {"input": digits.rows[:1].tolist()}).json()["output"] == digits.expected[:1]


def test_versions_are_named_in_address_query_or_body(hub: Any, digits: Any, published: str) -> None:
    row = digits.rows[0].tolist()
    for path, body in (
        ("/model/digits/versions/1/predict", {}),
        ("/model/digits/predict?version=1", {}),
        ("/model/digits/predict", {"version": "1"}),
        ("/predict", {"model": "digits"}),
    ):
        assert hub.call("POST", path, json={"input": row, **body}).json()["output"] == digits.expected[0], (
            path
        )


def test_named_tensors_answer_in_the_same_form(hub: Any, digits: Any, published: str) -> None:
    inputs = [tensor.encode("input", digits.rows[:3])]
    body, _ = oip.encode_request(inputs, ["predict_proba"], binary=False)
    answer = hub.call("POST", "/model/digits/predict", data=body, headers=JSON)
    (output,) = oip.decode_response(answer.content)
    np.testing.assert_allclose(
        tensor.decode(output), digits.estimator.predict_proba(digits.rows[:3]), atol=1e-12
    )


def test_many_clients_at_once_each_get_their_own_answer(hub: Any, digits: Any, published: str) -> None:
    def ask(index: int) -> bool:
        row = index % len(digits.rows)
        return bool(
            predict(hub, {"input": digits.rows[row].tolist()}).json()["output"] == digits.expected[row]
        )

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(ask, range(600)))


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "bad_json"),
        (b"{", 400, "bad_json"),
        (b'{"input": [NaN]}', 400, "bad_json"),
        (b"{}", 400, "no_input"),
        (b'"text"', 422, "bad_body"),
        (b'{"input": []}', 422, "bad_input"),
        (b'{"input": [[]]}', 422, "bad_input"),
        (b'{"input": [1, 2, 3]}', 422, "bad_input"),
        (b'{"input": [[1, 2], [3]]}', 422, "bad_input"),
        (b'{"input": 3}', 422, "bad_input"),
        (b'{"input": null}', 422, "bad_input"),
        (b'{"input": {"a": 1}}', 422, "bad_input"),
        (b'{"input": ["a"]}', 422, "bad_input"),
        (b'{"input": [true]}', 422, "bad_input"),
        (b'{"input": [1e999]}', 422, "bad_input"),
        (b'{"input": ' + b"[" * 3000 + b"]" * 3000 + b"}", 400, "bad_json"),
        (b'{"input": [[[[[[[[[1]]]]]]]]]}', 422, "bad_input"),
        (b'{"input": [' + b"1," * 1_000_000 + b"1]}", 422, "bad_input"),
        (b'{"inputs": []}', 422, "bad_input"),
        (b'{"inputs": [{"name": "x"}]}', 400, "bad_request"),
        (
            b'{"inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 64], "data": [1]}]}',
            422,
            "bad_input",
        ),
        (b'{"inputs": [{"name": "input", "datatype": "ODD", "shape": [1], "data": [1]}]}', 422, "bad_input"),
        (
            b'{"inputs": [{"name": "input", "datatype": "FP64", "shape": [0, 64], "data": []}]}',
            422,
            "bad_input",
        ),
    ],
)
def test_bad_input_is_refused_with_the_reason(
    hub: Any, published: str, body: bytes, status: int, code: str
) -> None:
    answer = hub.call("POST", "/model/digits/predict", data=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_the_place_of_a_bad_value_is_named(hub: Any, digits: Any, published: str) -> None:
    rows = digits.rows[:2].tolist()
    rows[1][7] = "seven"
    problem = predict(hub, {"input": rows}).json()
    assert problem["errors"][0]["pointer"] == "/input/1/7"


def test_a_body_over_the_limit_is_refused(hub: Any, published: str) -> None:
    body = b'{"input": [' + b" " * (17 * 1024 * 1024) + b"1]}"
    answer = hub.call("POST", "/model/digits/predict", data=body, headers=JSON)
    assert answer.status_code == 413


def test_unknown_models_and_versions_are_not_found(hub: Any, published: str) -> None:
    row = {"input": [0.0] * 64}
    assert hub.call("POST", "/model/nobody/predict", json=row).status_code == 404
    assert hub.call("POST", "/model/digits/predict?version=77", json=row).status_code == 404
    assert hub.call("POST", "/model/..%00/predict", json=row).status_code == 422
    hub.create("without")
    answer = hub.call("POST", "/model/without/predict", json=row)
    assert (answer.status_code, answer.json()["code"]) == (409, "not_ready")


def test_preferences_that_are_none_are_refused(hub: Any, digits: Any, published: str) -> None:
    body = {"input": digits.rows[0].tolist()}
    assert predict(hub, body, headers={"Prefer": "wait=soon"}).status_code == 400
    assert predict(hub, body, headers={"Prefer": "handling=lenient, wait=5"}).status_code == 200


def test_a_deleted_model_is_not_predicted_with_for_long(hub: Any, digits: Any) -> None:
    hub.publish("short-lived", digits.bundle)
    body = {"input": digits.rows[0].tolist()}
    assert hub.call("POST", "/model/short-lived/predict", json=body).status_code == 200
    hub.call("DELETE", "/model/short-lived")
    hub.wait_until(
        lambda: hub.call("POST", "/model/short-lived/predict", json=body).status_code == 404, "it is gone"
    )


def test_a_row_that_the_model_refuses_fails_alone(hub: Any, positive_bundle: bytes) -> None:
    hub.publish("positive", positive_bundle)

    def ask(index: int) -> int:
        value = -1.0 if index % 10 == 7 else 1.0 + index
        answer = hub.call("POST", "/model/positive/predict", json={"input": [value, 2.0]})
        if value < 0:
            assert "positive" in answer.json()["detail"], "the model's own words"
        return int(answer.status_code)

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(ask, range(100))) == [422 if index % 10 == 7 else 200 for index in range(100)]


def test_strings_are_a_models_input_too(hub: Any, text_bundle: bytes) -> None:
    hub.publish("words", text_bundle)
    answer = hub.call("POST", "/model/words/predict", json={"input": ["good fine", "bad awful"]})
    assert answer.ok, answer.text
    assert answer.json()["output"] == ["positive", "negative"]
    one = hub.call("POST", "/model/words/predict", json={"input": "good"})
    assert one.json()["output"] == "positive"
    assert hub.call("POST", "/model/words/predict", json={"input": [1]}).status_code == 422


@pytest.fixture(scope="module")
def positive_bundle() -> bytes:
    """A model that refuses negative values."""
    from sklearn.preprocessing import PowerTransformer
    from skops.io import dumps

    from tests.integration.conftest import bundle

    rows = np.random.default_rng(0).uniform(1, 9, (50, 2))
    return bundle({"model.skops": dumps(PowerTransformer(method="box-cox").fit(rows))})


@pytest.fixture(scope="module")
def text_bundle() -> bytes:
    """A model of texts, whose bundle says what it takes."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from skops.io import dumps

    from tests.integration.conftest import bundle

    texts = ["good", "fine", "bad", "awful"]
    model = make_pipeline(CountVectorizer(), LogisticRegression())
    model.fit(texts, ["positive", "positive", "negative", "negative"])
    signature = {
        "inputs": [{"name": "input", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": "predict", "datatype": "BYTES", "shape": [-1]}],
    }
    description = msgspec.json.encode({"signature": signature})
    return bundle({"model.skops": dumps(model), "mlhub.json": description})
