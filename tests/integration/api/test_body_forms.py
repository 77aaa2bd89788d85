"""Every form in which a prediction can come in and go out, through the whole hub."""

import gzip
import io
from typing import Any

import msgspec
import numpy as np
import pytest
import requests
from PIL import Image

from tests.integration.conftest import bundle

NPY = "application/x-npy"
ASYNC = {"Prefer": "respond-async"}
LABELS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def array_file(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def picture_file(row: Any, kind: str = "PNG") -> bytes:
    """A picture whose pixels, divided by 15, are the row."""
    file = io.BytesIO()
    pixels = (np.asarray(row).reshape(8, 8) * 15).astype(np.uint8)
    Image.fromarray(pixels).save(file, kind, quality=100)
    return file.getvalue()


@pytest.fixture(scope="module")
def pictured(hub: Any, digits: Any) -> str:
    """The digits model, with what its pictures are and what it calls its classes."""
    from skops.io import dumps

    description = {"labels": LABELS, "image": {"size": [8, 8], "channels": 1, "scale": 15}}
    files = {"model.skops": dumps(digits.estimator), "mlhub.json": msgspec.json.encode(description)}
    hub.publish("pictured", bundle(files))
    return "pictured"


def answer_of(answer: requests.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()["output"]


def test_a_picture_is_predicted_at_every_address(hub: Any, digits: Any, pictured: str) -> None:
    picture = picture_file(digits.rows[0])
    for path, fields in (
        ("/model/pictured", {}),
        ("/model/pictured/predict", {}),
        ("/model/pictured/predict/image", {}),
        ("/model/pictured/versions/1/predict", {}),
        ("/predict", {"model": "pictured"}),
        ("/predict/image", {"model": "pictured", "version": "1"}),
    ):
        answer = hub.call("POST", path, files={"image": ("img4.png", picture)}, data=fields)
        assert answer.json() == {
            "model": "pictured",
            "version": "1",
            "output": digits.expected[0],
            "labels": LABELS[digits.expected[0]],
        }, path


def test_several_pictures_are_several_rows(hub: Any, digits: Any, pictured: str) -> None:
    files = [("image", (f"{index}.png", picture_file(digits.rows[index]))) for index in range(8)]
    answer = hub.call("POST", "/model/pictured/predict", files=files)
    assert answer_of(answer) == digits.expected[:8]
    assert answer.json()["labels"] == [LABELS[value] for value in digits.expected[:8]]


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_a_picture_is_a_body_too(hub: Any, digits: Any, pictured: str, kind: str) -> None:
    headers = {"Content-Type": f"image/{kind}"}
    content = picture_file(digits.rows[1], kind.upper())
    answer = hub.call("POST", "/model/pictured/predict", data=content, headers=headers)
    assert answer_of(answer) == digits.expected[1]


def test_pictures_that_are_none_are_refused(hub: Any, digits: Any, pictured: str) -> None:
    good = picture_file(digits.rows[0])
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    for content, says in ((b"GIF89a", "not a PNG"), (b"", "not a PNG"), (bomb.getvalue(), "more than")):
        answer = hub.call("POST", "/model/pictured", files={"image": ("a.png", content)})
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_image"), content[:20]
        assert says in answer.json()["detail"]
    cut = hub.call("POST", "/model/pictured", files={"image": ("a.png", good[: len(good) // 2])})
    assert (cut.status_code, cut.json()["code"]) == (422, "bad_image")


def test_a_picture_needs_a_model_that_is_there(hub: Any, digits: Any, pictured: str) -> None:
    files = {"image": ("a.png", picture_file(digits.rows[0]))}
    assert hub.call("POST", "/model/nobody", files=files).status_code == 404
    hub.create("empty-one")
    answer = hub.call("POST", "/model/empty-one", files=files)
    assert (answer.status_code, answer.json()["code"]) == (409, "not_ready")
    assert hub.call("POST", "/predict", files=files).json()["code"] == "missing_field"


def test_arrays_come_and_go_in_numpys_format(hub: Any, digits: Any, published: str) -> None:
    headers = {"Content-Type": NPY, "Accept": NPY}
    for array in (
        digits.rows[:5],
        np.asfortranarray(digits.rows[:5]),
        digits.rows[:5].astype(">f4"),
        digits.rows[:5].astype(np.uint8),
    ):
        answer = hub.call(
            "POST", "/model/digits/predict?outputs=predict_proba", data=array_file(array), headers=headers
        )
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, NPY), answer.text
        got = np.load(io.BytesIO(answer.content), allow_pickle=False)
        np.testing.assert_allclose(got, digits.estimator.predict_proba(digits.rows[:5]), atol=1e-9)
    one = hub.call("POST", "/model/digits/predict", data=array_file(digits.rows[0]), headers=headers)
    assert np.load(io.BytesIO(one.content)) == digits.expected[0]
    plain = hub.call(
        "POST", "/model/digits/predict", data=array_file(digits.rows[:2]), headers={"Content-Type": NPY}
    )
    assert answer_of(plain) == digits.expected[:2]


def test_keys_and_values_are_taken_as_tfaas_takes_them(hub: Any, digits: Any, published: str) -> None:
    keys = [f"pixel{index}" for index in range(64)]
    body = {"keys": keys, "values": digits.rows[0].tolist(), "model": "digits"}
    assert answer_of(hub.call("POST", "/predict", json=body)) == digits.expected[0]
    many = {"keys": keys, "values": digits.rows[:3].tolist()}
    assert answer_of(hub.call("POST", "/model/digits/predict", json=many)) == digits.expected[:3]
    short = hub.call("POST", "/model/digits/predict", json=body | {"keys": keys[1:]})
    assert (short.status_code, short.json()["errors"][0]["pointer"]) == (422, "/keys")


def test_inputs_and_outputs_are_named(hub: Any, digits: Any, published: str) -> None:
    body = {"inputs": {"input": digits.rows[0].tolist()}, "outputs": ["predict", "predict_proba"]}
    output = answer_of(hub.call("POST", "/model/digits/predict", json=body))
    assert output["predict"] == digits.expected[0]
    np.testing.assert_allclose(
        output["predict_proba"], digits.estimator.predict_proba(digits.rows[:1])[0], atol=1e-9
    )
    rows = {"inputs": {"input": digits.rows[:3].tolist()}}
    assert answer_of(hub.call("POST", "/model/digits/predict", json=rows)) == digits.expected[:3]


def test_a_file_in_a_form_holds_json_or_an_array(hub: Any, digits: Any, published: str) -> None:
    row = digits.rows[2].tolist()
    for content in (
        array_file(digits.rows[2]),
        msgspec.json.encode(row),
        msgspec.json.encode({"input": row}),
        msgspec.json.encode({"keys": [], "values": row}),
    ):
        answer = hub.call("POST", "/model/digits/predict", files={"input": ("input", content)})
        assert answer_of(answer) == digits.expected[2]
    named = {"model": "digits", "outputs": "predict_proba"}
    answer = hub.call("POST", "/predict", files={"input": ("input", array_file(digits.rows[2]))}, data=named)
    assert len(answer_of(answer)) == 10


def test_bodies_may_be_packed(hub: Any, digits: Any, published: str) -> None:
    body = gzip.compress(msgspec.json.encode({"input": digits.rows[0].tolist()}))
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert (
        answer_of(hub.call("POST", "/model/digits/predict", data=body, headers=headers)) == digits.expected[0]
    )
    bomb = gzip.compress(b'{"input": [' + b" " * (40 * 1024 * 1024) + b"]}")
    assert hub.call("POST", "/model/digits/predict", data=bomb, headers=headers).status_code == 413
    cut = hub.call("POST", "/model/digits/predict", data=body[:-4], headers=headers)
    assert (cut.status_code, cut.json()["code"]) == (400, "bad_coding")
    headers["Content-Encoding"] = "br"
    assert hub.call("POST", "/model/digits/predict", data=body, headers=headers).status_code == 415


def test_every_form_can_be_answered_later(hub: Any, digits: Any, pictured: str) -> None:
    row = digits.rows[3]
    calls: list[dict[str, Any]] = [
        {"json": {"keys": [], "values": row.tolist()}, "headers": ASYNC},
        {"json": {"inputs": {"input": row.tolist()}}, "headers": ASYNC},
        {"data": array_file(row), "headers": {"Content-Type": NPY, **ASYNC}},
        {"files": {"image": ("a.png", picture_file(row))}, "headers": ASYNC},
        {"files": {"input": ("a.npy", array_file(row))}, "headers": ASYNC},
    ]
    accepted = [hub.call("POST", "/model/pictured/predict", **call) for call in calls]
    for answer in accepted:
        assert answer.status_code == 202, answer.text
        done = hub.call("GET", answer.headers["Location"], headers={"Prefer": "wait=120"}).json()
        assert (done["status"], done["output"]) == ("succeeded", digits.expected[3])
        assert done["labels"] == LABELS[digits.expected[3]]


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"data": b"\x93NUMPY", "headers": {"Content-Type": NPY}}, 400, "bad_npy"),
        ({"data": array_file(np.zeros(3)), "headers": {"Content-Type": NPY}}, 422, "bad_input"),
        ({"data": array_file(np.zeros(64, complex)), "headers": {"Content-Type": NPY}}, 400, "bad_npy"),
        ({"data": array_file(np.full(64, np.nan)), "headers": {"Content-Type": NPY}}, 422, "bad_input"),
        ({"data": b"a,b", "headers": {"Content-Type": "text/csv"}}, 415, "unsupported_media_type"),
        ({"files": {"other": ("a", b"1")}}, 422, "unknown_part"),
        ({"files": {"file": ("a", b"1")}}, 409, "model_exists"),
        ({"files": {"input": ("a", b"")}}, 400, "bad_json"),
        ({"files": {"input": ("a", b"1"), "image": ("b", b"1")}}, 422, "bad_body"),
        ({"data": {"model": "digits"}, "files": {"odd": (None, "1")}}, 422, "unknown_part"),
        (
            {"data": b"--x", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
            400,
            "bad_multipart",
        ),
        ({"json": {"inputs": {"other": [1]}}}, 422, "bad_input"),
        ({"json": {"inputs": {}}}, 422, "bad_input"),
        ({"json": {"inputs": 1}}, 422, "bad_input"),
        ({"json": {"values": "a"}}, 422, "bad_input"),
        ({"json": {"values": []}}, 422, "bad_input"),
        ({"json": {"input": [0] * 64, "outputs": ["odd"]}}, 422, "bad_output"),
        ({"json": {"input": [0] * 64, "outputs": "odd"}}, 422, "bad_body"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(
    hub: Any, published: str, options: dict[str, Any], status: int, code: str
) -> None:
    answer = hub.call("POST", "/model/digits/predict", **options)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
