"""The rows of a bulk prediction's file, read a piece at a time and checked against the model's signature."""

import csv
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec
import numpy as np

from mlhub.common import bulktable, npy, rows
from mlhub.common.bulk import BulkForm, Layout, Span, row_bytes
from mlhub.common.errors import UnacceptableError
from mlhub.common.rows import Rows
from mlhub.common.signature import ANY, Signature
from mlhub.common.tensor import Array

_EMPTY: Final = re.compile(r"string '\s*'")
"""How numpy says that a cell is empty."""


class RowError(UnacceptableError):
    """A row of a file is no input of the model; the sentence says which, and why."""

    code = "bad_row"


class RowReader(Protocol):
    """The rows of a span."""

    def take(self, start: int, stop: int) -> Rows:
        """Return some of them as the model's inputs.

        Raises:
            RowError: one of them is none.
        """
        ...

    def size(self, start: int, stop: int) -> int:
        """Return the bytes of the file that some of them take."""
        ...


def read_span(layout: Layout, signature: Signature, span: Span, data: bytes) -> RowReader:
    """Return the rows of a span, whose bytes are given.

    Raises:
        UnacceptableError: the bytes are not as many rows.
    """
    if layout.array is not None:
        return _ArrayReader(layout, layout.array, signature, span, data)
    parse: _Parse = _json_rows
    if layout.form is BulkForm.CSV:
        parse = _table_rows(layout) if layout.columns else _csv_rows(layout.delimiter)
    return _LineReader(parse, signature, span, data)


def check_batches(signature: Signature) -> None:
    """See that a model takes rows, many at once.

    Raises:
        UnacceptableError: it does not.
    """
    if any(spec.shape[:1] != (ANY,) for spec in signature.inputs):
        raise UnacceptableError(
            "This model takes one input of a fixed size and no list of rows; predict them one by one.",
            code="no_batches",
        )


class _ArrayReader:
    def __init__(
        self, layout: Layout, header: npy.Header, signature: Signature, span: Span, data: bytes
    ) -> None:
        own = msgspec.structs.replace(header, shape=(span.rows, *header.shape[1:]))
        self._array: Array = npy.elements(own, data)
        self._signature = signature
        self._first = span.first
        self._row_bytes = row_bytes(layout)

    def take(self, start: int, stop: int) -> Rows:
        """Return some rows."""
        array = self._array[start:stop]
        return _located(
            lambda first, last: rows.from_array(array[first:last], self._signature),
            stop - start,
            self._first + start,
        )

    def size(self, start: int, stop: int) -> int:
        """Return the bytes of some rows."""
        return (stop - start) * self._row_bytes


_Parse = Callable[[Sequence[bytes], Signature], Rows]


class _LineReader:
    def __init__(self, parse: _Parse, signature: Signature, span: Span, data: bytes) -> None:
        lines = data.split(b"\n")
        if not lines[-1]:
            # What follows the last line's end.
            lines.pop()
        if len(lines) != span.rows:
            raise UnacceptableError(
                f"After row {span.first} the file has {len(lines)} lines where {span.rows} were counted."
            )
        self._lines = lines
        self._parse = parse
        self._signature = signature
        self._first = span.first
        self._size = len(data)

    def take(self, start: int, stop: int) -> Rows:
        """Return some rows."""
        lines = self._lines[start:stop]
        return _located(
            lambda first, last: self._parse(lines[first:last], self._signature),
            stop - start,
            self._first + start,
        )

    def size(self, start: int, stop: int) -> int:
        """Return the bytes of some rows."""
        whole = sum(len(line) + 1 for line in self._lines[start:stop])
        # The last line of a file may have no end.
        return min(whole, self._size)


def _located(read: Callable[[int, int], Rows], count: int, first: int) -> Rows:
    """Read rows at once, which is many times faster; or else one by one, which finds the bad one."""
    try:
        return _counted(read(0, count), count)
    except UnacceptableError as error:
        for place in range(count):
            try:
                _counted(read(place, place + 1), 1)
            except UnacceptableError as own:
                reason = _reason(own)
                brief = f"Row {first + place + 1} of the file cannot be used"
                raise RowError(f"{brief}: {reason}", brief=f"{brief}.") from error
        raise


def _counted(given: Rows, count: int) -> Rows:
    if given.single or given.count != count:
        raise UnacceptableError("It is not one row of this model.", code="bad_input")
    return given


def _reason(error: UnacceptableError) -> str:
    """Return why a row cannot be used, with the place in it where that is known by a name."""
    if not error.fields:
        return error.detail
    (field, *_) = error.fields
    # The pointer begins with those to the rows and to the only one of them.
    place = "/".join(field.pointer.split("/")[3:])
    return f"{field.detail.rstrip('.')} (at {place})." if place and not place.isdigit() else field.detail


def _json_rows(lines: Sequence[bytes], signature: Signature) -> Rows:
    for line in lines:
        if not line.strip():
            raise UnacceptableError("The line is empty.", code="bad_input")
    text = b"[" + b",".join(lines) + b"]"
    if len(lines) == 1:
        # A line that would end this list and begin another one is caught where it stands alone.
        try:
            msgspec.json.decode(lines[0], type=msgspec.Raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UnacceptableError(f"The line is not JSON: {error}.", code="bad_json") from error
    try:
        return rows.from_json(msgspec.Raw(text), signature, flat=True)
    except msgspec.DecodeError as error:
        raise UnacceptableError(f"The line is not JSON: {error}.", code="bad_json") from error


def _csv_rows(delimiter: str) -> _Parse:
    def parse(lines: Sequence[bytes], signature: Signature) -> Rows:
        texts = _decoded(lines)
        (spec,) = signature.inputs
        table = _texts(texts, delimiter) if spec.datatype == "BYTES" else _numbers(texts, delimiter)
        array = table.reshape(-1) if not spec.row and table.shape[1] == 1 else rows.unflattened(table, spec)
        return rows.from_array(array, signature)

    return parse


def _table_rows(layout: Layout) -> _Parse:
    """Return what reads lines whose cells are inputs by the names in the heading."""

    def parse(lines: Sequence[bytes], signature: Signature) -> Rows:
        return bulktable.inputs(_texts(_decoded(lines), layout.delimiter), layout.columns, signature)

    return parse


def _decoded(lines: Sequence[bytes]) -> list[str]:
    try:
        texts = [line.decode().rstrip("\r") for line in lines]
    except UnicodeDecodeError as error:
        raise UnacceptableError("The line is not UTF-8.", code="bad_input") from error
    if not all(text.strip() for text in texts):
        raise UnacceptableError("The line is empty.", code="bad_input")
    return texts


def _numbers(texts: Sequence[str], delimiter: str) -> Array:
    """Read lines of numbers: whole ones where all are."""
    for dtype in (np.int64, np.float64):
        try:
            with warnings.catch_warnings():
                # Whole numbers that are written as fractions.
                warnings.simplefilter("error", DeprecationWarning)
                return np.loadtxt(texts, dtype, delimiter=delimiter, ndmin=2, comments=None, quotechar='"')
        except (ValueError, DeprecationWarning, OverflowError) as error:
            failure = error
    if _EMPTY.search(str(failure)):
        try:
            return bulktable.fractions(_texts(texts, delimiter))
        except ValueError as error:
            failure = error
    detail = str(failure).partition(" at row ")[0]
    raise UnacceptableError(f"{detail[:1].upper()}{detail[1:]}.", code="bad_input") from failure


def _texts(texts: Sequence[str], delimiter: str) -> Array:
    try:
        cells = [cells for text in texts for cells in csv.reader([text], delimiter=delimiter)]
    except csv.Error as error:
        raise UnacceptableError(f"The line is no CSV: {error}.", code="bad_input") from error
    if len({len(line) for line in cells}) != 1:
        raise UnacceptableError("The lines differ in their number of cells.", code="bad_input")
    return np.array(cells, dtype=object)
