"""The outputs of a bulk prediction as one file: what stands at its beginning, how each part looks in it."""

import csv
import io
from typing import Final

import msgspec
import numpy as np

from mlhub.common import tensor
from mlhub.common.bulk import BulkForm, BulkOutput, Part
from mlhub.common.tensor import DTYPES, Array, Tensor

_CHARACTER: Final = 4
"""Bytes of a character in an array of text."""
_TEXT: Final = "BYTES"
_LINES: Final = msgspec.json.Encoder()


def head(form: BulkForm, output: BulkOutput, rows: int, width: int) -> bytes:
    """Return the beginning of the file.

    Args:
        form: of the file.
        output: what it has for each row.
        rows: how many there are.
        width: characters of the longest text among them.
    """
    if form is not BulkForm.NPY:
        return b""
    file = io.BytesIO()
    values = {"descr": _descr(output, width), "fortran_order": False, "shape": (rows, *output.row)}
    np.lib.format.write_array_header_1_0(file, values)
    return file.getvalue()


def size(form: BulkForm, part: Part, width: int) -> int | None:
    """Return the bytes that a part takes in the file; nothing where that shows only when it is written."""
    if form is not BulkForm.NPY:
        return None
    if part.output.datatype != _TEXT:
        return part.size
    return part.rows * int(np.prod(part.output.row, dtype=np.int64)) * _CHARACTER * max(width, 1)


def body(form: BulkForm, part: Part, width: int, data: bytes) -> bytes:
    """Return a part as it stands in the file, from what the bundle store has of it."""
    output = part.output
    if form is BulkForm.NPY and output.datatype != _TEXT:
        return data
    array = tensor.decode(Tensor(output.name, output.datatype, (part.rows, *output.row), data))
    values = tensor.to_list(array)
    if form is BulkForm.NPY:
        return np.array(values, dtype=_descr(output, width)).tobytes()
    if form is BulkForm.JSON_LINES:
        return _LINES.encode_lines(values)
    text = io.StringIO(newline="")
    flat = tensor.to_list(array.reshape(part.rows, -1))
    csv.writer(text, lineterminator="\n").writerows(flat)
    return text.getvalue().encode()


def width_of(array: Array) -> int:
    """Return the characters of the longest text in an array; 0 where it has none."""
    if array.dtype.kind != "O":
        return 0
    return max((len(text) for text in tensor.to_list(array.reshape(-1))), default=0)


def _descr(output: BulkOutput, width: int) -> str:
    return f"<U{max(width, 1)}" if output.datatype == _TEXT else DTYPES[output.datatype].str
