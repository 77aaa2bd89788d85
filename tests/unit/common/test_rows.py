"""A client's input meets the model's signature."""

from typing import Any

import msgspec
import numpy as np
import pytest

from mlhub.common import rows
from mlhub.common.errors import UnacceptableError
from mlhub.common.signature import Signature, TensorSpec


def signature(*shape: int, datatype: str = "FP32") -> Signature:
    return Signature((TensorSpec("x", datatype, shape),))


def read(value: Any, taken: Signature) -> rows.Rows:
    return rows.from_json(msgspec.Raw(msgspec.json.encode(value)), taken)


def test_a_row_and_a_list_of_one_row_are_told_apart() -> None:
    one, many = read([1, 2], signature(-1, 2)), read([[1, 2]], signature(-1, 2))
    assert (one.single, one.count, many.single, many.count) == (True, 1, False, 1)
    np.testing.assert_array_equal(one.inputs["x"], many.inputs["x"])
    assert one.inputs["x"].dtype == np.float32


def test_open_extents_take_any_length() -> None:
    assert read([[1, 2, 3]], signature(-1, -1)).inputs["x"].shape == (1, 3)


def test_a_model_without_batches_takes_its_shape_only() -> None:
    taken = read([1, 2], signature(2))
    assert (taken.count, taken.single) == (1, False)
    with pytest.raises(UnacceptableError):
        read([1, 2, 3], signature(2))


@pytest.mark.parametrize("value", [[], [[]], [1], [1, 2, 3], [[1, 2], [1, 2, 3]], [[[1, 2]]], 1])
def test_other_shapes_are_refused(value: Any) -> None:
    with pytest.raises(UnacceptableError):
        read(value, signature(-1, 2))


def test_several_inputs_need_names() -> None:
    taken = Signature((TensorSpec("a", "FP32", (-1, 1)), TensorSpec("b", "FP32", (-1, 1))))
    with pytest.raises(UnacceptableError, match="several inputs"):
        read([1], taken)


def test_named_inputs_are_cast_when_nothing_is_lost() -> None:
    given = rows.from_tensors({"x": np.array([[1, 2]])}, signature(-1, 2))
    assert given.inputs["x"].dtype == np.float32
    only = rows.from_tensors({"other": np.array([[1.0, 2.0]])}, signature(-1, 2))
    assert list(only.inputs) == ["x"], "a single tensor needs no particular name"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"x": np.array([["a", "b"]], dtype=object)},
        {"x": np.array([[np.nan, 1]])},
        {"x": np.array([[1, 2]]), "y": np.array([[1, 2]])},
        {"x": np.zeros((0, 2))},
        {"x": np.zeros((1, 3))},
    ],
)
def test_named_inputs_that_do_not_fit_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UnacceptableError):
        rows.from_tensors(given, signature(-1, 2))


def test_fractions_do_not_become_whole_numbers() -> None:
    with pytest.raises(UnacceptableError):
        rows.from_tensors({"x": np.array([[1.5]])}, signature(-1, 1, datatype="INT64"))
    with pytest.raises(UnacceptableError):
        rows.from_tensors({"x": np.array([[300]])}, signature(-1, 1, datatype="UINT8"))


def test_inputs_must_agree_in_rows() -> None:
    taken = Signature((TensorSpec("a", "FP32", (-1, 1)), TensorSpec("b", "FP32", (-1, 1))))
    with pytest.raises(UnacceptableError, match="rows"):
        rows.from_tensors({"a": np.zeros((2, 1)), "b": np.zeros((3, 1))}, taken)


def test_what_is_missing_is_taken_where_the_signature_says_so() -> None:
    taken = Signature(
        (
            TensorSpec("x", "FP32", (-1, 2), allow_missing=True),
            TensorSpec("word", "BYTES", (-1,), allow_missing=True),
        )
    )
    raw = msgspec.Raw(b'[{"x": [1, null], "word": null}, {"x": [null, null], "word": "b"}]')
    named = msgspec.Raw(b'{"x": [[1, null], [null, null]], "word": [null, "b"]}')
    tensors = {"x": np.array([[1, np.nan], [np.nan] * 2]), "word": np.array([None, "b"], dtype=object)}
    for given in (
        rows.from_json(raw, taken),
        rows.from_named(named, taken),
        rows.from_tensors(tensors, taken),
    ):
        np.testing.assert_array_equal(given.inputs["x"], np.array(tensors["x"], "f4"), strict=True)
        assert given.inputs["word"].tolist() == [None, "b"]
    one = rows.from_json(msgspec.Raw(b'{"x": [null, 1], "word": null}'), taken)
    assert (one.single, one.inputs["word"].tolist()) == (True, [None])


def test_what_is_missing_is_refused_elsewhere_with_its_place() -> None:
    text = Signature((TensorSpec("word", "BYTES", (-1,)), TensorSpec("x", "FP32", (-1,))))
    for refused, pointer in (
        (lambda: rows.from_json(msgspec.Raw(b"[[1, null]]"), signature(-1, 2)), "/input/0/1"),
        (lambda: rows.from_json(msgspec.Raw(b'[{"word": "a", "x": null}]'), text), "/input/0/x"),
        (
            lambda: rows.from_tensors({"word": np.array([None], dtype=object), "x": np.zeros(1)}, text),
            "/inputs/0",
        ),
        (
            lambda: rows.from_array(np.array([[np.nan, 1]]), signature(-1, 2, datatype="INT64")),
            "/input",
        ),
    ):
        with pytest.raises(UnacceptableError, match="the model takes no missing values") as caught:
            refused()
        assert caught.value.fields[0].pointer == pointer


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.array([[1e300, 1.0]]), "A number here is too large for FP32."),
        (np.array([[np.inf, 1.0]]), "Infinity is not a value that a model can use."),
        (np.array([[np.nan, 1.0]]), "the model takes no missing values in 'x'."),
        (np.array([[True, False]]), "The model takes FP32 here, not BOOL; send 0 and 1 as numbers."),
        (np.array([["a", "b"]]), "The model takes FP32 here, not BYTES."),
    ],
)
def test_an_array_that_cannot_be_cast_is_told_why(array: Any, said: str) -> None:
    with pytest.raises(UnacceptableError) as caught:
        rows.from_array(array, signature(-1, 2))
    assert said in caught.value.fields[0].detail
