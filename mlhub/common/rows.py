"""A client's input → the model's tensors, checked against its signature before anything is queued."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from mlhub.common import jsontensor
from mlhub.common.errors import FieldError, UnacceptableError
from mlhub.common.signature import ANY, Signature, TensorSpec
from mlhub.common.tensor import DTYPES, Array, datatype_of

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OBJECTS: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


class Rows(msgspec.Struct, frozen=True):
    """The inputs of one request, ready to be stacked with others."""

    inputs: dict[str, Array]
    """Arrays by the model's input names, in its order, rows first."""
    count: int
    """How many rows; 1 for a model that takes no batches."""
    single: bool
    """Whether the client gave one row without a list around it, and wants one output."""


def from_json(raw: msgspec.Raw, signature: Signature, pointer: str = "/input", *, flat: bool = False) -> Rows:
    """Read one row or a list of rows; for a model with several inputs, each row an object with their names.

    Args:
        raw: JSON text.
        signature: what the model takes.
        pointer: JSON pointer to the text, for errors.
        flat: whether the values of a row may stand one after the other, whatever its shape.

    Raises:
        UnacceptableError: the values do not fit, with the place in `fields`.
    """
    if len(signature.inputs) != 1:
        return _from_objects(raw, signature, pointer)
    spec = signature.inputs[0]
    array = jsontensor.parse(raw, spec.datatype, pointer, spec.allow_missing)
    return _of_one(unflattened(array, spec) if flat else array, spec, pointer)


def from_array(array: Array, signature: Signature, pointer: str = "/input") -> Rows:
    """Check an array that is one row or a list of rows for a model with one input.

    Raises:
        UnacceptableError: it is of another kind or shape.
    """
    if len(signature.inputs) != 1:
        raise _unnamed(signature)
    spec = signature.inputs[0]
    return _of_one(_cast(array, spec, pointer), spec, pointer)


def _of_one(array: Array, spec: TensorSpec, pointer: str) -> Rows:
    if not array.size:
        raise _bad(pointer, "There are no values here.")
    single = array.ndim == len(spec.row) and spec.shape[:1] == (ANY,)
    if single:
        array = array[None]
    _check_shape(array, spec, pointer, single=single)
    return Rows({spec.name: array}, _count(array, spec), single)


def from_named(raw: msgspec.Raw, signature: Signature, pointer: str = "/inputs") -> Rows:
    """Read an object that has, by name of the input, one row or a list of rows.

    Raises:
        UnacceptableError: a name is missing or unknown, or values do not fit, with the place in `fields`.
    """
    given = _members(raw, pointer)
    _check_names(given, signature, pointer)
    arrays = {
        spec.name: jsontensor.parse(
            given[spec.name], spec.datatype, _below(pointer, spec.name), spec.allow_missing
        )
        for spec in signature.inputs
    }
    specs = signature.inputs
    single = all(
        spec.shape[:1] == (ANY,) and arrays[spec.name].ndim == len(spec.row) for spec in signature.inputs
    )
    if single:
        arrays = {name: array[None] for name, array in arrays.items()}
    for spec in specs:
        _check_shape(arrays[spec.name], spec, _below(pointer, spec.name), single=single)
    return Rows(arrays, _agreed_count(arrays, signature, pointer), single)


def _from_objects(raw: msgspec.Raw, signature: Signature, pointer: str) -> Rows:
    """Read rows that are objects with a row of each input."""
    text = bytes(raw).strip()
    if text.startswith(b"{"):
        return from_named(raw, signature, pointer)
    try:
        objects = _OBJECTS.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _unnamed(signature) from None
    if not objects:
        raise _bad(pointer, "There are no values here.")
    for index, given in enumerate(objects):
        _check_names(given, signature, f"{pointer}/{index}")
    arrays = {spec.name: _column(objects, spec, pointer) for spec in signature.inputs}
    return Rows(arrays, _agreed_count(arrays, signature, pointer), single=False)


def _column(objects: list[dict[str, msgspec.Raw]], spec: TensorSpec, pointer: str) -> Array:
    """Read the rows of one input."""
    values = [given[spec.name] for given in objects]
    try:
        # At once, which is many times faster.
        joined = msgspec.Raw(b"[" + b",".join(bytes(value) for value in values) + b"]")
        array = jsontensor.parse(joined, spec.datatype, pointer, spec.allow_missing)
        _check_shape(array, spec, pointer, single=False)
    except UnacceptableError:
        # One by one, which finds the place.
        for index, value in enumerate(values):
            place = _below(f"{pointer}/{index}", spec.name)
            row = jsontensor.parse(value, spec.datatype, place, spec.allow_missing)
            _check_shape(row[None], spec, place, single=False)
        raise
    return array


def from_tensors(given: dict[str, Array], signature: Signature) -> Rows:
    """Check named tensors, rows first, as the Open Inference Protocol has them.

    Raises:
        UnacceptableError: one is missing, unknown, of another kind or shape, or they differ in rows.
    """
    expected = {spec.name: spec for spec in signature.inputs}
    if len(given) == 1 and len(expected) == 1 and not given.keys() & expected.keys():
        # One tensor for one input: its name says nothing that could be wrong.
        given = dict(zip(expected, given.values(), strict=True))
    _check_names(given, signature, "/inputs")
    arrays: dict[str, Array] = {}
    for index, (name, spec) in enumerate(expected.items()):
        pointer = f"/inputs/{index}"
        arrays[name] = _cast(given[name], spec, pointer)
        _check_shape(arrays[name], spec, pointer, single=False)
    return Rows(arrays, _agreed_count(arrays, signature, "/inputs"), single=False)


def _unnamed(signature: Signature) -> UnacceptableError:
    names = ", ".join(spec.name for spec in signature.inputs)
    return UnacceptableError(
        f'This model takes several inputs ({names}); name them: {{"inputs": {{"name": …, …}}}}.',
        code="unnamed_inputs",
    )


def _members(raw: msgspec.Raw, pointer: str) -> dict[str, msgspec.Raw]:
    try:
        return _OBJECT.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _bad(pointer, "This is not an object with the names of inputs.") from None


def _check_names(given: Mapping[str, Any], signature: Signature, pointer: str) -> None:
    expected = [spec.name for spec in signature.inputs]
    for name in given:
        if name not in expected:
            raise _bad(pointer, f"The model has no input {name!r}; it takes {', '.join(expected)}.")
    for name in expected:
        if name not in given:
            raise _bad(pointer, f"The input {name!r} is missing.")


def _agreed_count(arrays: dict[str, Array], signature: Signature, pointer: str) -> int:
    counts = {_count(arrays[spec.name], spec) for spec in signature.inputs}
    if len(counts) != 1:
        raise _bad(pointer, "The inputs differ in their number of rows.")
    return counts.pop()


def unflattened(array: Array, spec: TensorSpec) -> Array:
    """Give rows whose values stand one after the other their shape, where it is known."""
    row = spec.row if spec.shape[:1] == (ANY,) else spec.shape
    if len(row) > 1 and ANY not in row and array.ndim in (1, 2) and array.shape[-1] == math.prod(row):
        return array.reshape(*array.shape[:-1], *row)
    return array


def _below(pointer: str, name: str) -> str:
    return f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"


def _cast(array: Array, spec: TensorSpec, pointer: str) -> Array:
    dtype = DTYPES[spec.datatype]
    _check_missing(array, spec, pointer)
    if array.dtype == dtype:
        return array
    number = array.dtype.kind in "iuf" and dtype.kind in "iuf"
    if not number or (array.dtype.kind == "f" and dtype.kind != "f"):
        raise _bad(pointer, _mismatch(array, spec))
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    if dtype.kind in "iu" and not (cast == array).all():
        raise _bad(pointer, f"A number here does not fit {spec.datatype}.")
    if dtype.kind == "f" and np.isinf(cast).any():
        raise _bad(pointer, f"A number here is too large for {spec.datatype}.")
    return cast


def _mismatch(array: Array, spec: TensorSpec) -> str:
    given = datatype_of(array.dtype)
    hint = "; send 0 and 1 as numbers" if given == "BOOL" and spec.datatype != "BYTES" else ""
    return f"The model takes {spec.datatype} here, not {given}{hint}."


def _check_missing(array: Array, spec: TensorSpec, pointer: str) -> None:
    """Refuse infinity, which only binary tensors can hold, and missing values where there may be none."""
    kind = array.dtype.kind
    if kind == "f" and not np.isfinite(array).all():
        if np.isinf(array).any():
            raise _bad(pointer, "Infinity is not a value that a model can use.")
    elif kind != "O" or None not in array.ravel().tolist():
        return
    if not spec.allow_missing:
        raise _bad(pointer, jsontensor.missing(spec.datatype, where=f"in {spec.name!r}"))


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
