"""Rows to JSON, outputs to arrays."""

import array
import math
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from mlhub.client import HubError
from mlhub.client.arrays import array_of, columns, decode_outputs, encode_inputs, encode_rows, named_outputs


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


def test_infinity_is_refused_wherever_it_is() -> None:
    for rows in (np.array([np.inf]), [[1, -math.inf]], {"x": [math.inf]}, [{"x": np.array([np.inf])}]):
        with pytest.raises(HubError, match="infinity"):
            encode_rows(rows)
    with pytest.raises(HubError, match="infinity"):
        encode_inputs({"x": [math.inf]})


def test_what_is_missing_is_sent_as_null() -> None:
    table = pd.DataFrame(
        {
            "age": [1.5, None],
            "rooms": pd.array([1, None], dtype="Int64"),
            "city": ["a", None],
            "kind": pd.Categorical([np.nan, "x"]),
        }
    )
    by_name = {"age": [1.5, None], "rooms": [1, None], "city": ["a", None], "kind": [None, "x"]}
    assert msgspec.json.decode(encode_rows(columns(table))) == {"inputs": by_name}
    rows = [[1.5, 1, "a", None], [None, None, None, "x"]]
    assert msgspec.json.decode(encode_rows(table)) == {"input": rows}
    assert msgspec.json.decode(encode_rows([[1, math.nan], [None, np.float32(2)]])) == {
        "input": [[1, None], [None, 2]]
    }
    sent = msgspec.json.decode(encode_inputs({"x": [[1, None]], "y": np.array(["a", None], dtype=object)}))
    assert [(one["datatype"], one["data"]) for one in sent["inputs"]] == [
        ("FP64", [1, None]),
        ("BYTES", ["a", None]),
    ]


def test_what_is_missing_in_an_output_is_nan() -> None:
    np.testing.assert_array_equal(array_of([[1.5, None]]), [[1.5, np.nan]], strict=True)
    assert array_of(["a", None]).tolist() == ["a", None]
    output = {"name": "y", "datatype": "FP32", "shape": [2], "data": [1, None]}
    np.testing.assert_array_equal(named_outputs([output])["y"], np.array([1, np.nan], "f4"), strict=True)


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
