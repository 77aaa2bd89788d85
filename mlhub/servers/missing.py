"""Whether an estimator takes values that are missing, which is found out by trying.

What scikit-learn's estimators say of themselves (their tag `allow_nan`) is not enough: a pipeline whose first
step fills in what is missing does not have it, and of a table each column may be another matter.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from mlhub.common.tensor import MISSABLE
from mlhub.servers.columns import Column

REFUSED: Final = (ValueError, TypeError, LookupError, AttributeError)
"""What estimators raise on values they cannot use."""


def is_taken(predict: Callable[[Any], Any], row: Any, *, predicts: bool) -> bool:
    """Tell whether an estimator takes a row in which values are missing.

    Args:
        predict: the method that gives its default output.
        row: with NaN or `None` in it.
        predicts: whether that is a prediction, which is none where it is NaN itself.
    """
    try:
        with np.errstate(all="ignore"):
            result = predict(row)
    except REFUSED:
        return False
    is_number = predicts and isinstance(result, np.ndarray) and result.dtype.kind == "f"
    return not (is_number and np.isnan(result).any())


def marked(columns: Sequence[Column], is_taken_in: Callable[[Iterable[Column]], bool]) -> tuple[Column, ...]:
    """Mark the columns of a table that may lack values, with few trials where all or none of them may.

    Args:
        columns: of the table.
        is_taken_in: tells whether a row is taken that lacks its values in some columns.
    """
    waiting = [[column for column in columns if column.datatype in MISSABLE]]
    found: set[str] = set()
    while waiting:
        group = waiting.pop()
        if group and is_taken_in(group):
            found.update(column.name for column in group)
        elif len(group) > 1:
            middle = len(group) // 2
            waiting += [group[:middle], group[middle:]]
    return tuple(msgspec.structs.replace(column, allow_missing=column.name in found) for column in columns)
