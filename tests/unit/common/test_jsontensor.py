"""JSON becomes arrays strictly."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlhub.common import jsontensor
from mlhub.common.errors import UnacceptableError


def parse(value: Any, datatype: str = "FP64") -> Any:
    return jsontensor.parse(msgspec.Raw(json.dumps(value).encode()), datatype, "/input")


@given(
    st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3), min_size=1)
)
def test_rows_of_numbers_become_an_array(rows: list[list[float]]) -> None:
    np.testing.assert_array_equal(parse(rows), np.array(rows))


@given(
    st.lists(
        st.lists(
            st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=2, max_size=2
        ),
        min_size=1,
    ),
    st.sampled_from(["FP32", "FP64"]),
)
def test_null_is_nan_where_values_may_be_missing(rows: list[list[float | None]], datatype: str) -> None:
    raw = msgspec.Raw(json.dumps(rows).encode())
    array = jsontensor.parse(raw, datatype, "/input", allow_missing=True)
    wanted = np.array([[np.nan if value is None else value for value in row] for row in rows], array.dtype)
    np.testing.assert_array_equal(array, wanted, strict=True)
    if any(None in row for row in rows):
        with pytest.raises(UnacceptableError, match="takes no missing values"):
            jsontensor.parse(raw, datatype, "/input")


@pytest.mark.parametrize(
    ("text", "datatype", "pointer", "said"),
    [
        (b"[1, null]", "INT64", "/1", "INT64 has nothing that stands for that"),
        (b"[null]", "BOOL", "/0", "BOOL has nothing that stands for that"),
        (b'[null, "a"]', "FP64", "/1", "Expected float, got str."),
        (b"[[null], null]", "FP64", "/1", "Expected array, got null."),
        (b"[[null], [1, 2]]", "FP64", "", "differ in length"),
        (b"[null, 1e300]", "FP32", "", "too large for FP32"),
        (b"[null, 1]", "BYTES", "/1", "Expected str, got int."),
    ],
)
def test_null_makes_nothing_else_right(text: bytes, datatype: str, pointer: str, said: str) -> None:
    with pytest.raises(UnacceptableError) as caught:
        jsontensor.parse(msgspec.Raw(text), datatype, "", allow_missing=True)
    assert said in caught.value.fields[0].detail
    assert caught.value.fields[0].pointer == pointer


def test_null_among_texts_is_none() -> None:
    raw = msgspec.Raw(b'[["a", null]]')
    assert jsontensor.parse(raw, "BYTES", "", allow_missing=True).tolist() == [["a", None]]
    assert jsontensor.parse(msgspec.Raw(b"null"), "BYTES", "", allow_missing=True).tolist() is None


def test_space_between_brackets_does_not_matter() -> None:
    raw = msgspec.Raw(b" [ [ 1 , 2 ] ,\n[3,4] ] ")
    assert jsontensor.parse(raw, "INT64", "").tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("value", "datatype", "pointer"),
    [
        (["a"], "FP64", "/input/0"),
        ([[1, 2], [3, None]], "FP64", "/input/1/1"),
        ([[1, 2], [3]], "FP64", "/input"),
        ([[1], 2], "FP64", "/input/1"),
        ([True], "FP64", "/input/0"),
        ([1], "BOOL", "/input/0"),
        ([1.5], "INT64", "/input/0"),
        ([300], "UINT8", "/input"),
        ([-1], "UINT8", "/input"),
        ([2**70], "INT64", "/input"),
        ([1e300], "FP32", "/input"),
        ([1], "BYTES", "/input/0"),
        ({"a": 1}, "FP64", "/input"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(value: Any, datatype: str, pointer: str) -> None:
    with pytest.raises(UnacceptableError) as caught:
        parse(value, datatype)
    assert caught.value.fields[0].pointer == pointer


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_any_json_is_an_array_or_refused(value: Any) -> None:
    for datatype in ("FP32", "INT8", "BOOL", "BYTES"):
        try:
            parse(value, datatype)
        except UnacceptableError as error:
            assert error.fields


@pytest.mark.parametrize(
    "text", [b"[1e999]", b"[[0.5], [-1e400]]", b"[1" + b"0" * 400 + b"]", b"[NaN]", b"[Infinity]"]
)
def test_what_no_float_holds_is_refused(text: bytes) -> None:
    with pytest.raises((UnacceptableError, msgspec.DecodeError)):
        jsontensor.parse(msgspec.Raw(text), "FP64", "/input")
