"""CSV files whose heading says which of a model's inputs a column is."""

import numpy as np

from mlhub.common import rows
from mlhub.common.csvcells import boolean_of, cells_of
from mlhub.common.errors import UnacceptableError
from mlhub.common.rows import Rows
from mlhub.common.signature import Signature, TensorSpec
from mlhub.common.tensor import DTYPES, Array


def is_table(signature: Signature) -> bool:
    """Tell whether a model takes several inputs, each with one value a row."""
    return len(signature.inputs) > 1 and not any(spec.row for spec in signature.inputs)


def named_columns(line: str, delimiter: str, signature: Signature) -> tuple[str, ...]:
    """Return the names in a heading, which has to have those of all inputs.

    Raises:
        UnacceptableError: it does not.
    """
    cells = cells_of(line, delimiter)
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
            return _booleans(texts)
        return texts.astype(np.int64)
    except (ValueError, OverflowError):
        raise _bad(f"The column {spec.name!r} takes {spec.datatype}, and holds something else.") from None


def _booleans(texts: Array) -> Array:
    values = [boolean_of(text) for text in texts.tolist()]
    if None in values:
        raise ValueError("A cell holds no truth value.")
    return np.array(values, dtype=bool)


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
