"""A file of a bulk prediction while it comes in: what is wrong is said at once, and where its rows are.

It is looked at piece by piece and never as a whole. Of an array the header tells all; of a text the ends of
lines are counted, and every few megabytes one is written down, from which a worker can begin.
"""

import math
from typing import Final, Protocol

import msgspec
import numpy as np

from mlhub.common import bulktable, npy, rows
from mlhub.common.bulk import UNIT_BYTES, BulkForm, Layout, Span, entry, read_entry
from mlhub.common.bulkrows import check_batches, read_span
from mlhub.common.csvcells import cells_of, delimiter_of, is_heading
from mlhub.common.errors import MalformedError, TooLargeError, UnacceptableError
from mlhub.common.signature import Signature

_LONGEST: Final = 2 * UNIT_BYTES
"""Bytes of a row; one is worked off as a whole."""
_BOM: Final = b"\xef\xbb\xbf"
"""What some programs write before a text."""


class Scan(Protocol):
    """Looks at a file."""

    def feed(self, piece: bytes) -> None:
        """Look at the next bytes.

        Raises:
            MalformedError: they cannot be read.
            UnacceptableError: they are not what the model takes.
            TooLargeError: a row is too large.
        """

    def end(self) -> Layout:
        """Return where the rows are, once all bytes have been there.

        Raises:
            MalformedError: the file is cut off, or goes on too long.
            UnacceptableError: there are no rows in it.
        """
        ...


def create_scan(form: BulkForm, signature: Signature) -> Scan:
    """Return what looks at a file of a form.

    Raises:
        UnacceptableError: the model cannot be given rows in that form.
    """
    check_batches(signature)
    if form is BulkForm.NPY:
        return ArrayScan(signature)
    if form is BulkForm.CSV and len(signature.inputs) != 1 and not bulktable.is_table(signature):
        names = ", ".join(spec.name for spec in signature.inputs)
        raise UnacceptableError(
            f"This model takes several inputs ({names}), which a line of CSV cannot tell apart; send JSON "
            "lines, each an object with their names.",
            code="bad_input",
        )
    return LineScan(form, signature)


class ArrayScan:
    """Looks at an npy file."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._head = b""
        self._size = 0
        self._header: npy.Header | None = None

    def feed(self, piece: bytes) -> None:
        """Look at the header, once it is there."""
        self._size += len(piece)
        if self._header is None:
            self._head += piece[: npy.HEAD - len(self._head)]
            if len(self._head) == npy.HEAD:
                self._read()

    def end(self) -> Layout:
        """Compare the size with what the header says."""
        header = self._header or self._read()
        if self._size != header.start + header.size:
            raise MalformedError(
                f"The array has {self._size - header.start} bytes of elements, but its shape "
                f"{list(header.shape)} takes {header.size}; send it again.",
                code="bad_npy",
            )
        return Layout(
            form=BulkForm.NPY, rows=header.shape[0], start=header.start, end=self._size, array=header
        )

    def _read(self) -> npy.Header:
        header = npy.read_header(self._head)
        _check_array(header, self._signature)
        self._header = header
        self._head = b""
        return header


def _check_array(header: npy.Header, signature: Signature) -> None:
    row = header.shape[1:]
    width = math.prod(row) * np.dtype(header.descr).itemsize
    if not header.shape or not header.size:
        raise UnacceptableError("There are no rows in the array.", code="bad_input")
    if width > _LONGEST:
        raise _too_long(1)
    if header.fortran and len(header.shape) > 1:
        raise UnacceptableError(
            "The array is stored by columns; store it by rows: "
            "numpy.save(file, numpy.ascontiguousarray(array)).",
            code="bad_input",
        )
    if len(signature.inputs) == 1 and len(header.shape) == len(signature.inputs[0].row):
        raise UnacceptableError(
            f"The array of shape {list(header.shape)} is one row of this model; a file has a list of them.",
            code="bad_input",
        )
    one = msgspec.structs.replace(header, shape=(1, *row))
    rows.from_array(npy.elements(one, bytes(width)), signature)


class LineScan:
    """Looks at a text with a row on each line."""

    def __init__(self, form: BulkForm, signature: Signature) -> None:
        self._form = form
        self._signature = signature
        self._head: bytes | None = b""
        """What is there of the first lines, until they are understood."""
        self._start = 0
        self._delimiter = ","
        self._columns: tuple[str, ...] = ()
        self._index = bytearray()
        self._size = 0
        """Bytes seen."""
        self._ends = 0
        """Ends of lines among them, from the first row on."""
        self._last_end = 0
        """The byte behind the last one."""
        self._cut = 0
        """Where the next unit may begin."""
        self._content = (0, 0)
        """The byte behind the last one that is no white space, and the rows that end before it."""

    def feed(self, piece: bytes) -> None:
        """Count lines."""
        if self._head is not None:
            self._head += piece
            whole = self._open(is_all=False)
            if whole is None:
                return
            piece = whole
        self._count(piece)

    def end(self) -> Layout:
        """Count the last line."""
        if self._head is not None:
            whole = self._open(is_all=True)
            self._count(whole or b"")
        end, before = self._content
        if end <= self._start:
            raise UnacceptableError("There are no rows in the file.", code="bad_input")
        return Layout(
            form=self._form,
            rows=before + 1,
            start=self._start,
            end=end,
            index=self._trimmed(end),
            delimiter=self._delimiter,
            columns=self._columns,
        )

    def _trimmed(self, end: int) -> bytes:
        """Return the index without units that would begin behind the last row."""
        width = len(entry(0, 0))
        count = len(self._index) // width
        while count > 1 and read_entry(self._index, count - 1)[0] >= end:
            count -= 1
        return bytes(self._index[: count * width])

    def _open(self, *, is_all: bool) -> bytes | None:
        """Understand the first lines when they are there; return all that came behind the heading."""
        head = self._head or b""
        mark = len(_BOM) if head.startswith(_BOM) else 0
        text = head[mark:]
        first, found, rest = text.partition(b"\n")
        heading = b""
        if self._form is BulkForm.CSV and (found or is_all):
            line = first.decode("utf-8", "replace").rstrip("\r")
            self._delimiter = delimiter_of(line)
            if self._has_heading(line):
                heading = first + found
                first, found, _ = rest.partition(b"\n")
        if len(first) > _LONGEST:
            raise _too_long(1)
        if not found and not is_all:
            return None
        self._start = self._size = self._last_end = mark + len(heading)
        self._head = None
        if first.strip():
            self._check(first)
        self._index += entry(self._start, 0)
        self._cut = self._start + UNIT_BYTES
        return text[len(heading) :]

    def _has_heading(self, line: str) -> bool:
        """Tell whether the first line names columns; where there are several inputs it has to."""
        if len(self._signature.inputs) != 1:
            self._columns = bulktable.named_columns(line, self._delimiter, self._signature)
            return True
        numeric = self._signature.inputs[0].datatype != "BYTES"
        return numeric and bool(line) and is_heading(cells_of(line, self._delimiter))

    def _check(self, line: bytes) -> None:
        """Read the first row, so that what is wrong with all of them is said at once."""
        layout = Layout(
            form=self._form,
            rows=1,
            start=0,
            end=len(line),
            delimiter=self._delimiter,
            columns=self._columns,
        )
        read_span(layout, self._signature, Span(0, 1, 0, len(line)), line).take(0, 1)

    def _count(self, piece: bytes) -> None:
        base, counted = self._size, 0
        self._size += len(piece)
        while self._cut <= self._size:
            end = piece.find(b"\n", max(counted, self._cut - 1 - base))
            if end < 0:
                break
            self._ends += piece.count(b"\n", counted, end + 1)
            counted = end + 1
            self._index += entry(base + counted, self._ends)
            self._cut = base + counted + UNIT_BYTES
        filled = len(piece.rstrip())
        if filled:
            # All of the blank lines at the end of a file are none.
            before = (
                piece.count(b"\n", counted, filled)
                if filled > counted
                else -piece.count(b"\n", filled, counted)
            )
            self._content = (base + filled, self._ends + before)
        self._ends += piece.count(b"\n", counted)
        last = piece.rfind(b"\n")
        if last >= 0:
            self._last_end = base + last + 1
        if self._size - self._last_end > _LONGEST:
            raise _too_long(self._ends + 1)


def _too_long(row: int) -> TooLargeError:
    return TooLargeError(f"Row {row} of the file has more than the {_LONGEST} bytes that a row may have.")
