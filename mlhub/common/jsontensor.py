"""JSON numbers, strings and booleans → arrays, strictly: nothing is guessed, nothing is silently changed.

`null` stands for a value that is missing: NaN among fractions, `None` among texts. Whole numbers and booleans
have nothing to hold it.
"""

from functools import cache
from typing import Any, Final

import msgspec
import numpy as np

from mlhub.common.errors import FieldError, UnacceptableError
from mlhub.common.tensor import DTYPES, MISSABLE, Array

MAX_DEPTH: Final = 8
"""Dimensions a tensor may have."""

_ELEMENTS: Final[dict[str, Any]] = {"b": bool, "i": int, "u": int, "f": float, "O": str}
_NULL: Final = ", got `null`"
"""What msgspec says of an element that is missing."""
_WIDEST: Final = 8
"""Bytes of the floating numbers that JSON's own are read as."""
_SPACE: Final = b" \t\n\r"


def parse(raw: msgspec.Raw, datatype: str, pointer: str, allow_missing: bool = False) -> Array:  # noqa: FBT001, FBT002 (a name in the call would cost each prediction more)
    """Return the array that nested JSON lists stand for; its shape is the lists' own.

    Args:
        raw: the JSON text, a list of any depth or a single element.
        datatype: datatype of the Open Inference Protocol that the elements must fit.
        pointer: JSON pointer to the text, for errors.
        allow_missing: whether elements may be `null`.

    Raises:
        UnacceptableError: an element is of another kind, does not fit, is infinite or missing, or the lists
            are ragged.
    """
    text = bytes(raw)
    depth = _depth(text)
    if depth > MAX_DEPTH:
        raise _bad(pointer, f"A tensor has at most {MAX_DEPTH} dimensions.")
    dtype = DTYPES[datatype]
    try:
        nested = _decoder(dtype.kind, depth).decode(text)
    except msgspec.ValidationError as error:
        # Looked for only here, so that inputs without any cost nothing more.
        if not _is_missing(str(error)):
            raise _bad(*_place(str(error), pointer)) from error
        if not allow_missing or datatype not in MISSABLE:
            place, _ = _place(str(error), pointer)
            raise _bad(place, missing(datatype, allow_missing=allow_missing)) from error
        nested = _with_missing(text, dtype, depth, pointer)
    except UnicodeDecodeError as error:
        raise _bad(pointer, "The text here is not UTF-8.") from error
    return _array(nested, dtype, datatype, depth, pointer)


def _array(nested: Any, dtype: np.dtype[Any], datatype: str, depth: int, pointer: str) -> Array:
    # The widest floating numbers are those that the decoder reads, and it refuses what they cannot hold.
    is_narrow = dtype.kind == "f" and dtype.itemsize < _WIDEST
    try:
        array = _narrowed(nested, dtype) if is_narrow else np.array(nested, dtype)
    except OverflowError:
        raise _bad(pointer, f"A number here does not fit {datatype}.") from None
    except ValueError:
        raise _bad(pointer, "The lists here differ in length; every row needs the same shape.") from None
    if array.ndim != depth:
        raise _bad(pointer, "The lists here differ in length; every row needs the same shape.")
    if is_narrow and np.isinf(array).any():
        raise _bad(pointer, f"A number here is too large for {datatype}.")
    return array


def _with_missing(text: bytes, dtype: np.dtype[Any], depth: int, pointer: str) -> Any:
    try:
        return _decoder(dtype.kind, depth, allow_missing=True).decode(text)
    except msgspec.ValidationError as error:
        detail = str(error).replace(" | null", "")
        raise _bad(*_place(detail, pointer)) from error


def missing(datatype: str, *, allow_missing: bool = False, where: str = "here") -> str:
    """Return the sentence about a value that is missing where none may be."""
    if allow_missing:
        return f"A value is missing here, and {datatype} has nothing that stands for that."
    return f"A value is missing (null or NaN), and the model takes no missing values {where}."


def _is_missing(message: str) -> bool:
    """Tell whether msgspec says of an element, not of a list, that it is `null`."""
    return _NULL in message and not message.startswith("Expected `array`")


def _narrowed(nested: Any, dtype: np.dtype[Any]) -> Array:
    """Make an array of narrow floats; what is too large for them becomes infinite, without a warning."""
    with np.errstate(over="ignore"):
        return np.array(nested, dtype)


def _depth(text: bytes) -> int:
    depth = 0
    for byte in text:
        if byte == ord("["):
            depth += 1
        elif byte not in _SPACE:
            break
        if depth > MAX_DEPTH:
            break
    return depth


@cache
def _decoder(kind: str, depth: int, *, allow_missing: bool = False) -> msgspec.json.Decoder[Any]:
    nested: Any = _ELEMENTS[kind]
    if allow_missing:
        nested |= None
    for _ in range(depth):
        nested = list.__class_getitem__(nested)
    return msgspec.json.Decoder(nested)


def _place(message: str, pointer: str) -> tuple[str, str]:
    """Turn msgspec's "… - at `$[0][3]`" into a JSON pointer and the sentence before it."""
    detail, _, path = message.partition(" - at `$")
    steps = path.rstrip("`").replace("]", "").replace("[", "/")
    return pointer + steps, detail.replace("`", "") + "."


def _bad(pointer: str, detail: str) -> UnacceptableError:
    return UnacceptableError(
        f"The input at {pointer} is not what the model takes: {detail}",
        code="bad_input",
        fields=(FieldError(pointer, detail),),
    )
