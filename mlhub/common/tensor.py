"""Typed tensors as they travel: a name, a datatype of the Open Inference Protocol, a shape, raw bytes.

Numbers are little-endian and row-major. A `BYTES` tensor holds its elements one after the other, each
preceded by its length as four little-endian bytes; so the binary data extension of the protocol defines it
(https://github.com/kserve/open-inference-protocol, Triton's "Binary Tensor Data Extension"). What that
leaves open is a text that is missing: it has the length -1 and no bytes.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlhub.common.errors import MalformedError

Array = NDArray[Any]

DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),
}
"""Datatypes of the Open Inference Protocol and the numpy types that hold them."""

MISSABLE: Final = frozenset({"FP16", "FP32", "FP64", "BYTES"})
"""Datatypes with something to stand for a value that is missing: NaN, and `None` among texts."""
_DATATYPES: Final = {dtype: name for name, dtype in DTYPES.items()}
_LENGTH: Final = 4
"""Bytes in front of each element of a `BYTES` tensor."""
_MISSING: Final = b"\xff\xff\xff\xff"
"""In place of the length of a text that is missing: -1, as databases have it on the wire."""


class Tensor(msgspec.Struct, frozen=True, array_like=True):
    """One named tensor, ready for the wire."""

    name: str
    """Name of the model's input or output."""
    datatype: str
    """One of `DTYPES`."""
    shape: tuple[int, ...]
    """Extent of each dimension; the first counts the rows of a batch."""
    data: bytes
    """The elements, row-major, little-endian."""


def datatype_of(dtype: np.dtype[Any]) -> str:
    """Name the Open Inference datatype that holds `dtype`; strings are `BYTES`.

    Raises:
        MalformedError: there is none, as for complex numbers and dates.
    """
    if dtype.kind in "OUS":
        return "BYTES"
    try:
        return _DATATYPES[dtype.newbyteorder("<") if dtype.itemsize > 1 else dtype]
    except KeyError:
        raise MalformedError(f"Tensors of numpy's type {dtype} cannot be sent.", code="bad_tensor") from None


def encode(name: str, array: Array) -> Tensor:
    """Make the wire form of `array`.

    Raises:
        MalformedError: no datatype holds its elements.
    """
    datatype = datatype_of(array.dtype)
    if datatype == "BYTES":
        data = _join(array)
    else:
        data = np.ascontiguousarray(array, dtype=DTYPES[datatype]).tobytes()
    return Tensor(name, datatype, array.shape, data)


def decode(tensor: Tensor) -> Array:
    """Return the array that `tensor` carries; numbers share its memory and are read-only.

    Raises:
        MalformedError: the bytes do not fit datatype and shape.
    """
    dtype = DTYPES.get(tensor.datatype)
    if dtype is None:
        raise MalformedError(f"There is no datatype {tensor.datatype!r}.", code="bad_tensor")
    if any(extent < 0 for extent in tensor.shape):
        raise MalformedError(f"Tensor {tensor.name!r} has a negative extent.", code="bad_tensor")
    count = math.prod(tensor.shape)
    if tensor.datatype == "BYTES":
        return _shaped(_split(tensor, count), tensor)
    if len(tensor.data) != count * dtype.itemsize:
        raise MalformedError(
            f"Tensor {tensor.name!r} has {len(tensor.data)} bytes, but {tensor.datatype} of shape "
            f"{list(tensor.shape)} takes {count * dtype.itemsize}.",
            code="bad_tensor",
        )
    return _shaped(np.frombuffer(tensor.data, dtype=dtype), tensor)


def concatenate(parts: Sequence[Array]) -> Array:
    """Stack batches along their first dimension; a single one is not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def to_list(array: Array) -> Any:
    """Return nested lists of Python values, `BYTES` as text, or nothing where one is missing."""
    if array.dtype.kind == "O":
        flat = [_text(element) for element in array.ravel().tolist()]
        return np.array(flat, dtype=object).reshape(array.shape).tolist() if array.ndim else flat[0]
    return array.tolist()


def _shaped(array: Array, tensor: Tensor) -> Array:
    try:
        return array.reshape(tensor.shape)
    except ValueError as error:
        # Too many dimensions, or extents that overflow beside one that is zero.
        raise MalformedError(f"Tensor {tensor.name!r} has an impossible shape.", code="bad_tensor") from error


def _text(element: object) -> object:
    return element.decode("utf-8", "replace") if isinstance(element, bytes) else element


def _join(array: Array) -> bytes:
    pieces: list[bytes] = []
    for element in array.ravel().tolist():
        if element is None:
            pieces.append(_MISSING)
            continue
        raw = element if isinstance(element, bytes) else str(element).encode()
        pieces += (len(raw).to_bytes(_LENGTH, "little"), raw)
    return b"".join(pieces)


def _split(tensor: Tensor, count: int) -> Array:
    data = tensor.data
    if count * _LENGTH > len(data):
        # Also keeps a huge declared shape from allocating anything.
        raise MalformedError(f"Tensor {tensor.name!r} ends before its last element.", code="bad_tensor")
    elements = np.empty(count, dtype=object)
    position = 0
    for index in range(count):
        start = position + _LENGTH
        if data[position:start] == _MISSING:
            # An array of objects begins with nothing in it.
            position = start
            continue
        end = start + int.from_bytes(data[position:start], "little")
        if start > len(data) or end > len(data):
            raise MalformedError(f"Tensor {tensor.name!r} ends before its last element.", code="bad_tensor")
        elements[index] = bytes(data[start:end])
        position = end
    if position != len(data):
        raise MalformedError(f"Tensor {tensor.name!r} has bytes after its last element.", code="bad_tensor")
    return elements
