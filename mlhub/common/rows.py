"""A client's input → the model's tensors, checked against its signature before anything is queued."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from mlhub.common import jsontensor
from mlhub.common.errors import FieldError, UnacceptableError
from mlhub.common.signature import ANY, Signature, TensorSpec
from mlhub.common.tensor import DTYPES, Array


class Rows(msgspec.Struct, frozen=True):
    """The inputs of one request, ready to be stacked with others."""

    inputs: dict[str, Array]
    """Arrays by the model's input names, in its order, rows first."""
    count: int
    """How many rows; 1 for a model that takes no batches."""
    single: bool
    """Whether the client gave one row without a list around it, and wants one output."""


def from_json(raw: msgspec.Raw, signature: Signature, pointer: str = "/input") -> Rows:
    """Read one row or a list of rows for a model with one input.

    Args:
        raw: JSON text.
        signature: what the model takes.
        pointer: JSON pointer to the text, for errors.

    Raises:
        UnacceptableError: the values do not fit, with the place in `fields`.
    """
    if len(signature.inputs) != 1:
        names = ", ".join(spec.name for spec in signature.inputs)
        raise UnacceptableError(
            f'This model takes several inputs ({names}); name them: {{"inputs": [{{"name": …}}, …]}}.',
            code="bad_input",
        )
    spec = signature.inputs[0]
    array = jsontensor.parse(raw, spec.datatype, pointer)
    single = array.ndim == len(spec.row) and spec.shape[:1] == (ANY,)
    if single:
        array = array[None]
    _check_shape(array, spec, pointer, single=single)
    return Rows({spec.name: array}, _count(array, spec), single)


def from_tensors(given: dict[str, Array], signature: Signature) -> Rows:
    """Check named tensors, rows first, as the Open Inference Protocol has them.

    Raises:
        UnacceptableError: one is missing, unknown, of another kind or shape, or they differ in rows.
    """
    expected = {spec.name: spec for spec in signature.inputs}
    if len(given) == 1 and len(expected) == 1 and not given.keys() & expected.keys():
        # One tensor for one input: its name says nothing that could be wrong.
        given = dict(zip(expected, given.values(), strict=True))
    for name in given:
        if name not in expected:
            raise _bad("/inputs", f"The model has no input {name!r}; it takes {', '.join(expected)}.")
    arrays: dict[str, Array] = {}
    for index, (name, spec) in enumerate(expected.items()):
        if name not in given:
            raise _bad("/inputs", f"The input {name!r} is missing.")
        pointer = f"/inputs/{index}"
        arrays[name] = _cast(given[name], spec, pointer)
        _check_shape(arrays[name], spec, pointer, single=False)
    counts = {_count(array, expected[name]) for name, array in arrays.items()}
    if len(counts) != 1:
        raise _bad("/inputs", "The inputs differ in their number of rows.")
    return Rows(arrays, counts.pop(), single=False)


def _cast(array: Array, spec: TensorSpec, pointer: str) -> Array:
    dtype = DTYPES[spec.datatype]
    if array.dtype == dtype:
        _check_finite(array, pointer)
        return array
    number = array.dtype.kind in "iuf" and dtype.kind in "iuf"
    if not number or (array.dtype.kind == "f" and dtype.kind != "f"):
        raise _bad(pointer, f"The model takes {spec.datatype} here.")
    cast = array.astype(dtype)
    if dtype.kind in "iu" and not (cast == array).all():
        raise _bad(pointer, f"A number here does not fit {spec.datatype}.")
    _check_finite(cast, pointer)
    return cast


def _check_finite(array: Array, pointer: str) -> None:
    # JSON cannot write NaN or infinity; binary tensors can.
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise _bad(pointer, "NaN and infinity are not values a model can use.")


def _check_shape(array: Array, spec: TensorSpec, pointer: str, *, single: bool) -> None:
    shape = array.shape
    if len(shape) == len(spec.shape) and all(
        extent in (ANY, given) for extent, given in zip(spec.shape, shape, strict=True)
    ):
        if math.prod(shape) == 0:
            raise _bad(pointer, "There are no values here.")
        return
    wanted = _describe(spec.row if spec.shape[:1] == (ANY,) else spec.shape)
    got = _describe(shape[1:] if single or len(shape) == len(spec.shape) else shape)
    raise _bad(pointer, f"One row of this model has shape {wanted}, not {got}.")


def _count(array: Array, spec: TensorSpec) -> int:
    return int(array.shape[0]) if spec.shape[:1] == (ANY,) else 1


def _describe(shape: Sequence[int]) -> str:
    return "[" + ", ".join("any" if extent == ANY else str(extent) for extent in shape) + "]"


def _bad(pointer: str, detail: str) -> UnacceptableError:
    return UnacceptableError(detail, code="bad_input", fields=(FieldError(pointer, detail),))
