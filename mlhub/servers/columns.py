"""Estimators that were fitted on a table with named columns, and take each column as an input of its own.

A `ColumnTransformer` that picks columns by name takes nothing but a table. What each column holds, the
encoders and imputers show that were fitted on it; what nothing tells about is taken for numbers.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from mlhub.common.errors import UnacceptableError
from mlhub.common.signature import ANY, TensorSpec
from mlhub.common.tensor import Array
from mlhub.servers.trees import parts

_NUMBER: Final = "FP64"
_KINDS: Final = ((bool, "BOOL"), (int, "INT64"), (float, _NUMBER), (str, "BYTES"))
_DROPPED: Final = "drop"


class Column(msgspec.Struct, frozen=True):
    """One column of the table."""

    name: str
    datatype: str = _NUMBER
    """Datatype of the Open Inference Protocol."""
    example: Any = 0.0
    """A value that it had when the model was fitted, where that is known."""
    missing: float | None = math.nan
    """What stood in it when the model was fitted where a value was missing."""
    allow_missing: bool = False
    """Whether the model takes that."""

    @property
    def spec(self) -> TensorSpec:
        """The column as an input: one value a row."""
        return TensorSpec(self.name, self.datatype, (ANY,), self.allow_missing)


def columns(estimator: Any) -> tuple[Column, ...]:
    """Return the columns of the table that an estimator takes; none of one that takes arrays as well."""
    names = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
    if not names:
        return ()
    pickers = [part for part in parts(estimator) if isinstance(part, ColumnTransformer) and _by_name(part)]
    if not pickers:
        return ()
    known = {column.name: column for picker in pickers for column in _described(picker)}
    first = estimator.steps[0][1] if isinstance(estimator, Pipeline) else estimator
    # What is dropped by whatever sees the table first need not be sent.
    drops = any(picker is first for picker in pickers)
    return tuple(known.get(name, Column(name)) for name in names if name in known or not drops)


def table(values: Mapping[str, Array]) -> Any:
    """Return a table with these columns, in their order.

    Raises:
        UnacceptableError: there is no pandas.
    """
    try:
        import pandas as pd  # noqa: PLC0415 (few models need it, and it takes memory)
    except ImportError:
        raise UnacceptableError(
            "The model cannot be served: it takes a table with named columns, for which this model server "
            "lacks pandas; ask its operator to install it there (pip install pandas).",
            code="not_loadable",
        ) from None
    # pandas makes NaN of each `None` among words, unless it is told to leave them.
    kept = {name: array.dtype.kind == "O" and None in array.tolist() for name, array in values.items()}
    return pd.DataFrame(
        {name: pd.Series(array, dtype=object) if kept[name] else array for name, array in values.items()}
    )


def _by_name(picker: ColumnTransformer) -> bool:
    return any(
        isinstance(name, str)
        for _, _, picked in getattr(picker, "transformers_", ())
        for name in _each(picked)
    )


def _each(picked: Any) -> list[Any]:
    return [picked] if isinstance(picked, str) else list(picked) if np.iterable(picked) else [picked]


def _described(picker: ColumnTransformer) -> Iterator[Column]:
    """Yield the columns that a transformer does not drop, with what is known of them."""
    indices = picker._transformer_to_input_indices  # noqa: SLF001 (there is no other way to them)
    for label, transformer, _ in picker.transformers_:
        if isinstance(transformer, str) and transformer == _DROPPED:
            continue
        names = [str(picker.feature_names_in_[index]) for index in indices.get(label, ())]
        samples = _samples(transformer, len(names))
        for name, sample in zip(names, samples, strict=True):
            yield _column(name, sample, _missing(transformer, sample))


def _samples(transformer: Any, count: int) -> list[list[Any]]:
    """Return values that each of the columns had, as far as a fitted transformer tells."""
    if isinstance(transformer, Pipeline):
        found = [_samples(step, count) for _, step in transformer.steps]
        return next((samples for samples in found if any(samples)), [[]] * count)
    if _takes_words(transformer):
        return [[""]] * count
    for attribute in ("categories_", "statistics_"):
        values = getattr(transformer, attribute, None)
        if values is not None and len(values) == count:
            return [np.asarray(each).ravel().tolist() for each in values]
    return [[]] * count


def _takes_words(transformer: Any) -> bool:
    return hasattr(transformer, "build_analyzer")


def _missing(transformer: Any, sample: list[Any]) -> float | None:
    """Tell what stands for a missing value among words: that which was there, or which is looked for."""
    steps = [step for _, step in transformer.steps] if isinstance(transformer, Pipeline) else [transformer]
    looked_for = [step.missing_values for step in steps if hasattr(step, "missing_values")]
    return None if None in sample or (looked_for and looked_for[0] is None) else math.nan


def _column(name: str, sample: list[Any], missing: float | None) -> Column:
    # None and NaN stand among categories where values were missing.
    there = [value for value in sample if value is not None and value == value]  # noqa: PLR0124
    for kind, datatype in _KINDS:
        if there and all(type(value) is kind for value in there):
            return Column(name, datatype, there[0], missing if datatype == "BYTES" else math.nan)
    return Column(name)
