"""What the cells of CSV files mean, for the hub and for its client alike."""

import csv
import math
from collections.abc import Sequence
from typing import Final

_BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False}
_SEPARATORS: Final = "\t;,"
"""What may stand between the cells of a line, the likeliest first to be meant where it is met."""


def delimiter_of(line: str) -> str:
    """Return what stands between the cells of a line."""
    return next((mark for mark in _SEPARATORS if mark in line), ",")


def cells_of(line: str, delimiter: str) -> list[str]:
    """Return the cells of a line; none where it is no CSV."""
    try:
        (cells,) = csv.reader([line], delimiter=delimiter)
    except (csv.Error, ValueError):
        return []
    return cells


def boolean_of(cell: str) -> bool | None:
    """Return the truth value in a cell, or nothing where there is none."""
    return _BOOLEANS.get(cell.strip().lower())


def number_of(cell: str) -> int | float | None:
    """Return the number in a cell, NaN and infinity among them, or nothing where there is none."""
    for kind in (int, float):
        try:
            number: int | float = kind(cell)
        except ValueError:
            continue
        return number
    return None


def is_heading(cells: Sequence[str]) -> bool:
    """Tell whether a line has names of columns, and no number or place of a missing one."""
    numbers = [number_of(cell) for cell in cells if cell.strip()]
    return None in numbers and not any(number is not None and math.isfinite(number) for number in numbers)
