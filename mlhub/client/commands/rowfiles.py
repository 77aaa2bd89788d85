"""Rows for the command line, from JSON text and from files; outputs, as lines and into files."""

import csv
import io
import math
import sys
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import typer

from mlhub.client.arrays import array_of
from mlhub.client.commands.terminal import printable
from mlhub.client.errors import HubError
from mlhub.common import badjson
from mlhub.common.csvcells import boolean_of, delimiter_of, is_heading, number_of
from mlhub.common.signature import Signature, TensorSpec

_NPY: Final = b"\x93NUMPY"
_OUTPUTS: Final = (".npy", ".json", ".csv")


def parse(text: str) -> Any:
    """Read rows from JSON text; `-` reads them, as JSON or npy, from standard input.

    Raises:
        HubError: there are none.
    """
    if text != "-":
        return _json(text.encode(), "The input")
    content = sys.stdin.buffer.read()
    return _npy(content, "-") if content.startswith(_NPY) else _json(content, "Standard input")


def load(path: Path | None, signature: Signature | None = None) -> Any:
    """Read rows from a file; its ending tells the form: `.npy`, `.csv`, else JSON.

    Args:
        path: of the file.
        signature: what the model takes; of a model with several inputs, a CSV's heading names them.

    Raises:
        HubError: there are none in it.
        OSError: it cannot be read.
    """
    if path is None:
        return None
    content = path.read_bytes()
    if path.suffix.lower() == ".npy":
        return _npy(content, str(path))
    if path.suffix.lower() == ".csv":
        return _csv(content, str(path), signature)
    return _json(content, str(path))


def is_single(given: Any, signature: Signature | None) -> bool:
    """Tell whether what is given is one row, without a list around it."""
    if isinstance(given, dict) or signature is None or len(signature.inputs) != 1:
        return False
    return _depth(given) == len(signature.inputs[0].row)


def check_output(path: Path | None) -> None:
    """Refuse an output file of a form that is not written, before anything is done.

    Raises:
        typer.BadParameter: it is.
    """
    if path is not None and path.suffix.lower() not in _OUTPUTS:
        raise typer.BadParameter(f"--output takes a file that ends in {', '.join(_OUTPUTS)}.")


def save(path: Path, output: Any) -> str:
    """Write an output to a file in the form that its ending tells; return what that was, in words.

    Raises:
        HubError: several outputs in a form that holds one.
        OSError: it cannot be written.
    """
    form = path.suffix.lower()
    if form == ".json":
        path.write_bytes(msgspec.json.encode(output) + b"\n")
        return "the output" if not isinstance(output, list) else f"{len(output)} outputs"
    if isinstance(output, dict):
        raise HubError(f"{path} cannot hold several outputs ({', '.join(output)}); write a .json file.")
    array = array_of(output)
    if form == ".npy":
        # Through an open file: by name, numpy would add an ending to `X.NPY`.
        with path.open("wb") as file:
            np.save(file, array, allow_pickle=False)
    else:
        table = array.reshape(len(array) if array.ndim else 1, -1)
        with path.open("w", newline="") as text:
            csv.writer(text).writerows(table.tolist())
    return f"an array of shape {list(array.shape)}"


def lines(output: Any, labels: Any = None, *, single: bool = False) -> Iterator[str]:
    """Yield a line of JSON for each row of an output, with the row's label after a tab if it has one.

    `single` says that a list is the output of one row.
    """
    if single or not isinstance(output, list):
        yield _line(output, labels if isinstance(labels, str) else None)
        return
    # Where an output has a list for each row, labels name the places in it.
    has_labels = (
        output and isinstance(labels, list) and len(labels) == len(output) and not isinstance(output[0], list)
    )
    for row, label in zip(output, labels if has_labels else repeat(None), strict=False):
        yield _line(row, label)


def _line(value: Any, label: str | None) -> str:
    text = msgspec.json.encode(value).decode()
    return text if label is None else f"{text}\t{printable(label)}"


def _depth(rows: Any) -> int:
    if isinstance(rows, np.ndarray):
        return rows.ndim
    return 1 + _depth(rows[0]) if isinstance(rows, list) and rows else int(isinstance(rows, list))


def _json(content: bytes, what: str) -> Any:
    try:
        given = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HubError(f"{what} {badjson.fault(content, error)}.", code="bad_input") from error
    if isinstance(given, dict) and given.keys() == {"input"}:
        # The body of the HTTP call is as welcome as the rows in it.
        return given["input"]
    if isinstance(given, dict) and (not given or "inputs" in given):
        raise HubError(
            f'{what} holds neither rows nor inputs by name, as in {{"x": [[1, 2]], "y": [[3]]}}.',
            code="bad_input",
        )
    return given


def _npy(content: bytes, what: str) -> Any:
    try:
        return np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise HubError(f"{what} is not an npy file with numbers: {error}.", code="bad_input") from error


def _csv(content: bytes, what: str, signature: Signature | None) -> list[Any]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise HubError(f"{what} is not a text in UTF-8: {error.reason}.", code="bad_input") from error
    separator = delimiter_of(text.partition("\n")[0])
    try:
        table = [cells for cells in csv.reader(io.StringIO(text), delimiter=separator) if cells]
    except csv.Error as error:
        raise HubError(f"{what} is not CSV: {error}.", code="bad_input") from error
    if signature is not None and len(signature.inputs) > 1:
        return _columns(table, what, signature)
    if signature is not None and table and signature.inputs[0].datatype == "BYTES":
        return table
    if table and is_heading(table[0]):
        # Names of the columns.
        table = table[1:]
    if not table:
        raise HubError(f"{what} has no rows.", code="bad_input")
    return [
        [_cell(cell, what, row, column) for column, cell in enumerate(cells, 1)]
        for row, cells in enumerate(table, 1)
    ]


def _columns(table: list[list[str]], what: str, signature: Signature) -> list[dict[str, Any]]:
    """Read a table whose heading names the model's inputs; other columns are passed over."""
    heading = table[0] if table else []
    missing = [spec.name for spec in signature.inputs if spec.name not in heading]
    if missing:
        raise HubError(
            f"{what} has no column {missing[0]!r}; its first line has to name the model's inputs: "
            f"{', '.join(spec.name for spec in signature.inputs)}.",
            code="bad_input",
        )
    rows = table[1:]
    if not rows:
        raise HubError(f"{what} has no rows.", code="bad_input")
    for row, cells in enumerate(rows, 1):
        if len(cells) != len(heading):
            raise HubError(
                f"{what} has {len(cells)} cells in row {row}, and {len(heading)} names of columns.",
                code="bad_input",
            )
    places = {spec.name: (heading.index(spec.name), spec) for spec in signature.inputs}
    return [
        {name: _typed(cells[place], spec, what, row, place + 1) for name, (place, spec) in places.items()}
        for row, cells in enumerate(rows, 1)
    ]


def _typed(text: str, spec: TensorSpec, what: str, row: int, column: int) -> Any:
    if spec.datatype == "BYTES":
        return None if not text and spec.allow_missing else text
    if spec.datatype == "BOOL" and (value := boolean_of(text)) is not None:
        return value
    return _cell(text, what, row, column)


def _cell(text: str, what: str, row: int, column: int) -> int | float | None:
    """Read a number; an empty cell is a missing one, and whether it may be missing the hub knows."""
    if not text.strip():
        return None
    number = number_of(text)
    if number is None or math.isinf(number):
        raise HubError(
            f"{what} has {printable(text)!r} in row {row}, column {column}, which is no number.",
            code="bad_input",
        )
    return number
