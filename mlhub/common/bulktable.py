"""CSV files whose heading says which of a model's inputs a column is."""

import csv
from typing import Final

import numpy as np

from mlhub.common import rows
from mlhub.common.errors import UnacceptableError
from mlhub.common.rows import Rows
from mlhub.common.signature import Signature, TensorSpec
from mlhub.common.tensor import DTYPES, Array

_BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False}
"""How CSV has them."""


def is_table(signature: Signature) -> bool:
    """Tell whether a model takes several inputs, each with one value a row."""
    return len(signature.inputs) > 1 and not any(spec.row for spec in signature.inputs)


def named_columns(line: str, delimiter: str, signature: Signature) -> tuple[str, ...]:
    """Return the names in a heading, which has to have those of all inputs.

    Raises:
        UnacceptableError: it does not.
    """
    try:
        (cells,) = csv.reader([line], delimiter=delimiter)
    except (csv.Error, ValueError):
        cells = []
    for spec in signature.inputs:
        if spec.name not in cells:
            names = ", ".join(spec.name for spec in signature.inputs)
            raise _bad(
                f"The file has no column {spec.name!r}; its first line has to name the inputs of the model: "
                f"{names}."
            )
    return tuple(cells)


def inputs(table: Array, columns: tuple[str, ...], signature: Signature) -> Rows:
    """Return rows of cells as the model's inputs; columns that are none of them are passed over.

    Args:
        table: texts, [rows, columns].
        columns: the heading.
        signature: what the model takes.

    Raises:
        UnacceptableError: they are none.
    """
    if table.shape[1] != len(columns):
        raise _bad(f"The line has {table.shape[1]} cells, and the heading {len(columns)}.")
    given = {spec.name: _cells(table[:, columns.index(spec.name)], spec) for spec in signature.inputs}
    return rows.from_tensors(given, signature)


def _cells(texts: Array, spec: TensorSpec) -> Array:
    dtype = DTYPES[spec.datatype]
    if dtype.kind == "O":
        return _with_gaps(texts) if spec.allow_missing else texts
    try:
        if dtype.kind == "f":
            return fractions(texts)
        if dtype.kind == "b":
            return np.array([_BOOLEANS[text.strip().lower()] for text in texts.tolist()])
        return texts.astype(np.int64)
    except (ValueError, KeyError, OverflowError):
        raise _bad(f"The column {spec.name!r} takes {spec.datatype}, and holds something else.") from None


def _with_gaps(texts: Array) -> Array:
    """Return texts without those that are empty."""
    filled = texts.copy()
    filled[texts == ""] = None
    return filled


def fractions(texts: Array) -> Array:
    """Return the numbers in cells, NaN where a cell is empty.

    Raises:
        ValueError: there is something else in one.
    """
    try:
        return texts.astype(np.float64)
    except ValueError:
        filled = [text if text.strip() else "nan" for text in texts.ravel().tolist()]
        return np.array(filled, dtype=object).astype(np.float64).reshape(texts.shape)


def _bad(detail: str) -> UnacceptableError:
    return UnacceptableError(detail, code="bad_input")
