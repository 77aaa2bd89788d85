"""Arrays in numpy's file format, read strictly: numbers, booleans and text, never Python objects.

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. The header is Python's
notation of a dictionary; it is read by its three keys and nothing else, so nothing in it is evaluated.
"""

import io
import math
import re
from typing import Any, Final

import msgspec
import numpy as np

from mlhub.common.errors import MalformedError
from mlhub.common.tensor import DTYPES, Array, to_list

TYPE: Final = "application/x-npy"
MAGIC: Final = b"\x93NUMPY"
_MAX_DIMENSIONS: Final = 8
_LONGEST_HEADER: Final = 4096
"""Bytes; numpy's own headers have 128."""
HEAD: Final = len(MAGIC) + 6 + _LONGEST_HEADER
"""Bytes of a file that are enough for its header."""
_LENGTHS: Final = {1: 2, 2: 4, 3: 4}
"""Bytes that the header's length takes, by version of the format."""

_LAST_CHARACTER: Final = 0x10FFFF
_SURROGATES: Final = 0xD800 >> 11
"""The upper bits of numbers that stand for characters only in pairs."""

_ITEM: Final = re.compile(
    r"""\s*(?:
        (?P<q1>['"])descr(?P=q1)\s*:\s*(?P<q2>['"])(?P<descr>[^'"]{1,16})(?P=q2)
      | (?P<q3>['"])fortran_order(?P=q3)\s*:\s*(?P<fortran>True|False)
      | (?P<q4>['"])shape(?P=q4)\s*:\s*\((?P<shape>[0-9,\s]*)\)
    )\s*(?:,|$)""",
    re.VERBOSE,
)
_DESCR: Final = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248]|[SU][1-9][0-9]{0,6})")
_EXTENTS: Final = re.compile(r"\s*(?:[0-9]{1,18}\s*,\s*)*(?:[0-9]{1,18}\s*)?")


class Header(msgspec.Struct, frozen=True):
    """What a file says of itself."""

    descr: str
    """Type of the elements, in numpy's notation."""
    fortran: bool
    """Whether the first index varies fastest."""
    shape: tuple[int, ...]
    start: int
    """Bytes before the first element."""

    @property
    def size(self) -> int:
        """Bytes of the elements."""
        return math.prod(self.shape) * np.dtype(self.descr).itemsize


def decode(content: bytes) -> Array:
    """Return the array; numbers little-endian, text as an array of objects.

    Raises:
        MalformedError: it is no such file, broken, or holds anything else.
    """
    header = read_header(content)
    return elements(header, content[header.start :])


def read_header(content: bytes) -> Header:
    """Read the header of a file, of which the first `HEAD` bytes are enough.

    Raises:
        MalformedError: it is no such file, or holds anything else than numbers, booleans and text.
    """
    text, start = _split(content)
    dtype, fortran, shape = _parse(text)
    return Header(dtype.str, fortran, shape, start)


def elements(header: Header, data: bytes) -> Array:
    """Return the array whose elements `data` holds; numbers little-endian, text as an array of objects.

    Raises:
        MalformedError: they do not fit the header.
    """
    dtype, shape = np.dtype(header.descr), header.shape
    # Also keeps a huge declared shape from allocating anything.
    if header.size != len(data):
        raise _bad(f"its shape {list(shape)} of {dtype.str} takes {header.size} bytes, not {len(data)}")
    if dtype.kind == "U":
        _check_unicode(np.frombuffer(data, dtype.byteorder.replace("|", "=") + "u4"))
    try:
        array: Array = np.frombuffer(data, dtype).reshape(shape, order="F" if header.fortran else "C")
    except ValueError as error:
        raise _bad("its shape is impossible") from error
    return _plain(array)


def encode(array: Array) -> bytes:
    """Make a file of an array; text becomes numpy's own."""
    if array.dtype.kind == "O":
        array = np.array(to_list(array), dtype=np.str_)
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array, order="C"), allow_pickle=False)
    return file.getvalue()


def _split(content: bytes) -> tuple[str, int]:
    if not content.startswith(MAGIC) or len(content) < len(MAGIC) + 4:
        raise _bad("it does not begin as such files do")
    width = _LENGTHS.get(content[6])
    if width is None:
        raise _bad(f"there is no version {content[6]} of the format")
    start = 8 + width
    length = int.from_bytes(content[8:start], "little")
    if length > _LONGEST_HEADER or start + length > len(content):
        raise _bad("its header is longer than the file or than it may be")
    return content[start : start + length].decode("latin-1"), start + length


def _parse(header: str) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    text = header.strip()
    if not (text.startswith("{") and text.endswith("}")):
        raise _bad("its header is none")
    found: dict[str, str] = {}
    rest = text[1:-1].strip()
    while rest:
        item = _ITEM.match(rest)
        if item is None:
            raise _bad("its header has something else than descr, fortran_order and shape, or objects")
        found |= {key: item[key] for key in ("descr", "fortran", "shape") if item[key] is not None}
        rest = rest[item.end() :].strip()
    if len(found) != 3:  # noqa: PLR2004
        raise _bad("its header lacks one of descr, fortran_order and shape")
    if not _DESCR.fullmatch(found["descr"]):
        raise _bad(f"elements of type {found['descr']!r} are not taken; use numbers, booleans or text")
    if not _EXTENTS.fullmatch(found["shape"]):
        raise _bad("its shape is none")
    shape = tuple(int(extent) for extent in found["shape"].split(",") if extent.strip())
    if len(shape) > _MAX_DIMENSIONS:
        raise _bad(f"it has more than {_MAX_DIMENSIONS} dimensions")
    return np.dtype(found["descr"]), found["fortran"] == "True", shape


def _plain(array: Array) -> Array:
    if array.dtype.kind in "SU":
        return array.astype(object)
    if array.dtype.kind == "b":
        # Any byte that is not zero is true to numpy, and would leave as it is.
        return np.not_equal(array.view(np.uint8), 0)
    little = _little(array.dtype)
    return np.asarray(array, next(own for own in DTYPES.values() if own == little), order="C")


def _check_unicode(points: Array) -> None:
    """Refuse numbers that are no characters: Python cannot make strings of them, or not encode those."""
    if ((points > _LAST_CHARACTER) | ((points >> 11) == _SURROGATES)).any():
        raise _bad("its text is not Unicode")


def _little(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder("<")


def _bad(why: str) -> MalformedError:
    return MalformedError(f"The array cannot be read as an npy file: {why}.", code="bad_npy")
