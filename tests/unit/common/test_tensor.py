"""Tensors survive their way over the wire, and broken ones are refused."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mlhub.common import tensor
from mlhub.common.errors import MalformedError
from mlhub.common.tensor import DTYPES, Tensor

NUMBERS = sorted(DTYPES.keys() - {"BYTES"})


@given(st.data(), st.sampled_from(NUMBERS))
def test_numbers_come_back_as_they_were(data: st.DataObject, datatype: str) -> None:
    shape = data.draw(arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    array = data.draw(arrays.arrays(DTYPES[datatype], shape))
    wire = tensor.encode("x", array)
    assert (wire.datatype, wire.shape) == (datatype, shape)
    np.testing.assert_array_equal(tensor.decode(wire), array)


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_bytes_come_back_as_they_were(elements: list[bytes]) -> None:
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    assert tensor.decode(tensor.encode("x", array)).tolist() == elements


def test_text_becomes_bytes_of_utf8_and_text_again() -> None:
    wire = tensor.encode("x", np.array(["grün", "", "a"]))
    assert wire.datatype == "BYTES"
    assert tensor.to_list(tensor.decode(wire)) == ["grün", "", "a"]


def test_a_text_that_is_missing_stays_so() -> None:
    wire = tensor.encode("x", np.array(["a", None, ""], dtype=object))
    assert wire.data == b"\x01\0\0\0a" + b"\xff" * 4 + b"\0" * 4
    assert tensor.to_list(tensor.decode(wire)) == ["a", None, ""]


def test_order_in_memory_does_not_matter() -> None:
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3)).astype(">f8")
    np.testing.assert_array_equal(tensor.decode(tensor.encode("x", array)), array)


@pytest.mark.parametrize(
    "broken",
    [
        Tensor("x", "FP32", (2,), b"1234567"),
        Tensor("x", "FP32", (-1,), b""),
        Tensor("x", "FP31", (1,), b"1234"),
        Tensor("x", "BYTES", (2,), b"\x01\0\0\0a"),
        Tensor("x", "BYTES", (1,), b"\xff\xff\xff\xffa"),
        Tensor("x", "BYTES", (2,), b"\0\0\0\0\xff\xff\xff"),
        Tensor("x", "BYTES", (1,), b"\x09\0\0\0a"),
        Tensor("x", "BYTES", (1,), b"\x00\0\0\0a"),
        Tensor("x", "BYTES", (10**12,), b""),
    ],
)
def test_bytes_that_do_not_fit_are_refused(broken: Tensor) -> None:
    with pytest.raises(MalformedError):
        tensor.decode(broken)


@given(st.binary(max_size=60), st.integers(0, 5))
def test_any_bytes_are_strings_or_refused(data: bytes, count: int) -> None:
    with contextlib.suppress(MalformedError):
        assert tensor.decode(Tensor("x", "BYTES", (count,), data)).shape == (count,)


def test_complex_numbers_have_no_datatype() -> None:
    with pytest.raises(MalformedError):
        tensor.encode("x", np.array([1j]))
