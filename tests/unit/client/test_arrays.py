"""Rows to JSON, outputs to arrays."""

import array
from typing import Any

import msgspec
import numpy as np
import pytest

from mlhub.client import HubError
from mlhub.client.arrays import array_of, decode_outputs, encode_inputs, encode_rows


@pytest.mark.parametrize(
    ("rows", "sent"),
    [
        (np.array([1.5, 2.0]), [1.5, 2.0]),
        (np.array([[1, 2]], dtype="u1"), [[1, 2]]),
        ([np.float32(0.5), np.int64(2)], [0.5, 2]),
        ([np.array([1, 2]), (3, 4)], [[1, 2], [3, 4]]),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array([b"a", "b"], dtype=object), ["a", "b"]),
        (array.array("d", [1.0]), None),
        (7, 7),
    ],
)
def test_rows_are_sent_as_they_are(rows: Any, sent: Any) -> None:
    if sent is None:
        with pytest.raises(HubError, match="array is neither"):
            encode_rows(rows)
    else:
        assert msgspec.json.decode(encode_rows(rows)) == {"input": sent}


def test_what_offers_itself_as_an_array_is_one() -> None:
    class Frame:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            del copy
            return np.array([[1, 2], [3, 4]], dtype)

    assert encode_rows(Frame()) == b'{"input":[[1,2],[3,4]]}'


def test_rows_may_be_inputs_by_name() -> None:
    assert encode_rows({"x": np.array([[1, 2]]), "y": "a"}) == b'{"inputs":{"x":[[1,2]],"y":"a"}}'
    assert encode_rows([{"x": 1}], ("a", "b")) == b'{"input":[{"x":1}],"outputs":["a","b"]}'


@pytest.mark.parametrize("rows", [{1, 2}, object(), np.array([1j]), {"x": object()}, None])
def test_what_is_no_rows_is_refused(rows: Any) -> None:
    with pytest.raises(HubError) as caught:
        encode_rows(rows)
    assert caught.value.status is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_json_does_not_have_are_refused(value: float) -> None:
    for make in (lambda: encode_rows(np.array([value])), lambda: encode_inputs({"x": [value]})):
        with pytest.raises(HubError, match="NaN or infinity"):
            make()


def test_named_inputs_keep_types_and_shapes() -> None:
    body = msgspec.json.decode(encode_inputs({"x": np.ones((2, 1), "f4"), "y": [[1], [2]]}))
    x, y = body["inputs"]
    assert (x["name"], x["datatype"], x["shape"], x["data"]) == ("x", "FP32", [2, 1], [1, 1])
    assert (y["datatype"], y["shape"]) == ("INT64", [2, 1])
    with pytest.raises(HubError, match="cannot be sent"):
        encode_inputs({"x": np.array([1j])})


def test_an_output_is_an_array_or_an_error() -> None:
    assert array_of([1, 2]).dtype.kind == "i"
    assert array_of(3).shape == ()
    with pytest.raises(HubError, match=r"several outputs \(a, b\)"):
        array_of({"a": [1], "b": [2]})
    with pytest.raises(HubError, match="no array"):
        array_of([[1], [2, 3]])
    with pytest.raises(HubError, match="cannot be read"):
        decode_outputs(b"[]")
