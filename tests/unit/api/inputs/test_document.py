"""JSON documents of any kind become rows, or are refused with a reason."""

import asyncio
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlhub.api.inputs.coding import unpacked
from mlhub.api.inputs.document import document
from mlhub.api.services.predictions import Order
from mlhub.api.services.routes import Route
from mlhub.common.errors import (
    MalformedError,
    MLHubError,
    TooLargeError,
    UnacceptableError,
    UnsupportedMediaError,
)
from mlhub.common.signature import Signature, TensorSpec

ONE = Signature((TensorSpec("x", "FP32", (-1, 2, 2)),), (TensorSpec("y", "FP32", (-1,)),))
TWO = Signature((TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "BYTES", (-1,))))


def order(body: Any, signature: Signature) -> Order:
    text = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return asyncio.run(document(text).order(Route("m", "1", "b", "d", signature, ()), ()))


def test_values_may_be_flat() -> None:
    for body in ({"values": [1, 2, 3, 4]}, {"keys": ["a", "b", "c", "d"], "values": [[1, 2], [3, 4]]}):
        if "keys" in body:
            body["keys"] = []
        given_rows = order(body, ONE).rows
        assert given_rows.single
        np.testing.assert_array_equal(given_rows.inputs["x"], [[[1, 2], [3, 4]]])
    assert order({"values": [[1, 2, 3, 4]] * 3}, ONE).rows.count == 3
    with pytest.raises(UnacceptableError):
        order({"input": [1, 2, 3, 4]}, ONE)


def test_named_rows_and_named_columns_say_the_same() -> None:
    rows = order({"input": [{"a": [1, 2], "b": "u"}, {"b": "v", "a": [3, 4]}]}, TWO).rows
    columns = order({"inputs": {"b": ["u", "v"], "a": [[1, 2], [3, 4]]}}, TWO).rows
    for given_rows in (rows, columns):
        assert (given_rows.count, given_rows.single, list(given_rows.inputs)) == (2, False, ["a", "b"])
        np.testing.assert_array_equal(given_rows.inputs["a"], [[1, 2], [3, 4]])
        assert given_rows.inputs["b"].tolist() == ["u", "v"]
    for body in ({"input": {"a": [1, 2], "b": "u"}}, {"inputs": {"a": [1, 2], "b": "u"}}):
        assert order(body, TWO).rows.single


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"input": [{"a": [1, 2], "b": "u"}, {"a": [1, "x"], "b": "v"}]}, "/input/1/a/1"),
        ({"input": [{"a": [1, 2], "b": "u"}, {"a": [1], "b": "v"}]}, "/input/1/a"),
        ({"input": [{"a": [1, 2]}]}, "/input/0"),
        ({"input": [{"a": [1, 2], "b": "u", "c": 1}]}, "/input/0"),
        ({"input": []}, "/input"),
        ({"inputs": {"a": [[1, 2]], "b": ["u", "v"]}}, "/inputs"),
        ({"inputs": {"a": [[1, 2]], "b": [1]}}, "/inputs/b/0"),
    ],
)
def test_the_place_of_what_is_wrong_is_named(body: Any, pointer: str) -> None:
    with pytest.raises(UnacceptableError) as caught:
        order(body, TWO)
    assert caught.value.fields[0].pointer == pointer


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b", "x", "name"]), inner, max_size=3)
    ),
    max_leaves=12,
)
BODIES = st.dictionaries(
    st.sampled_from(["input", "inputs", "keys", "values", "outputs", "model", "version"]), JSON, max_size=4
)


@given(BODIES | JSON, st.sampled_from([ONE, TWO]))
def test_any_document_gives_rows_or_a_reason(body: Any, signature: Signature) -> None:
    try:
        given_rows = order(body, signature).rows
    except (MalformedError, UnacceptableError) as error:
        assert error.detail
    else:
        assert list(given_rows.inputs) == [spec.name for spec in signature.inputs]


@given(st.binary(max_size=60))
def test_any_bytes_give_rows_or_a_reason(text: bytes) -> None:
    with pytest.raises(MLHubError):
        order(text, TWO)


@given(st.binary(max_size=60), st.sampled_from(["gzip", "deflate", "GZIP "]))
def test_any_bytes_are_no_packed_body_or_one(content: bytes, coding: str) -> None:
    try:
        unpacked(content, coding, 100)
    except (MalformedError, TooLargeError):
        return


def test_unknown_codings_are_refused() -> None:
    with pytest.raises(UnsupportedMediaError):
        unpacked(b"", "br", 100)
