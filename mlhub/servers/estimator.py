"""A fitted scikit-learn estimator seen through a signature: its methods are the outputs."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
import numpy as np
import scipy.sparse
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from mlhub.common.errors import UnacceptableError
from mlhub.common.signature import ANY, Signature, TensorSpec
from mlhub.common.tensor import DTYPES, Array, datatype_of
from mlhub.servers import missing
from mlhub.servers.artefact import check_rows
from mlhub.servers.columns import Column, columns, table
from mlhub.servers.missing import REFUSED
from mlhub.servers.trees import parts

INPUT: Final = "input"
"""Name of the input, unless the bundle says otherwise."""
_NO_GAPS: Final[Mapping[str, float | None]] = {}


class Estimator:
    """Calls an estimator's methods with numpy arrays, and knows which there are and what they return."""

    def __init__(self, estimator: Any, declared: Signature | None) -> None:
        """Find out the signature; `declared` takes precedence.

        Raises:
            UnacceptableError: it has nothing to call, was not fitted, or does not have what is declared.
        """
        use_one_thread(estimator)
        self._columns = _columns(estimator, declared)
        inputs = _inputs(estimator, declared, self._columns)
        check_rows(inputs)
        self._input = inputs[0]
        self._methods = _methods(estimator)
        outputs = self._declare(estimator)
        if declared is None:
            inputs = self._marked(inputs)
        elif declared.outputs:
            outputs = self._check(declared.outputs, outputs)
        self._outputs = {spec.name: DTYPES[spec.datatype] for spec in outputs}
        self._default = (outputs[0].name,)
        self.signature = Signature(inputs, outputs)

    def compute(self, inputs: dict[str, Array], names: tuple[str, ...]) -> dict[str, Array]:
        """Return the outputs of these names, the first of the signature where there are none.

        Raises:
            UnacceptableError: the estimator refuses the values.
        """
        try:
            given = self._given(inputs)
            return {name: self._run(name, given) for name in names or self._default}
        except REFUSED as error:
            text = str(error).strip() or type(error).__name__
            raise UnacceptableError(
                f"The model refuses this input: {text.splitlines()[0].rstrip('.:')}.", code="bad_input"
            ) from error

    def _given(self, inputs: dict[str, Array]) -> Any:
        """Return what the estimator takes: an array, or a table where it wants one."""
        if self._columns:
            return table(
                {column.name: _plain(inputs[column.name], column.missing) for column in self._columns}
            )
        return _plain(inputs[self._input.name])

    def _run(self, name: str, given: Any) -> Array:
        # Tensors from the wire are read-only, and an estimator may be set to work in place.
        result = _dense(self._methods[name](given.copy()))
        dtype = self._outputs[name]
        if result.dtype == dtype or (dtype.kind == "O" and result.dtype.kind in "US"):
            return result
        return result.astype(dtype, casting="same_kind")

    def _marked(self, inputs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        """Say of the inputs whether values may be missing, and remember it of the columns."""
        name, method = next(iter(self._methods.items()))
        predicts = name == "predict"

        def is_taken_in(some: Iterable[Column]) -> bool:
            gaps = {column.name: column.missing for column in some}
            return missing.is_taken(method, _sample_table(self._columns, gaps), predicts=predicts)

        if self._columns:
            self._columns = missing.marked(self._columns, is_taken_in)
            return tuple(column.spec for column in self._columns)
        if self._input.datatype == "BYTES":
            return inputs
        row = np.full_like(_sample(self._input), np.nan)
        is_taken = missing.is_taken(method, row, predicts=predicts)
        return (msgspec.structs.replace(self._input, allow_missing=is_taken),)

    def _declare(self, estimator: Any) -> tuple[TensorSpec, ...]:
        """Describe the outputs as one row shows them, or else as the estimator's attributes let expect."""
        row = _sample_table(self._columns) if self._columns else _sample(self._input)
        known_width = ANY not in self._input.shape[1:]
        specs = []
        for name, method in self._methods.items():
            try:
                result = method(row)
            except NotFittedError:
                raise _bad("was not fitted") from None
            except REFUSED:
                specs.append(_expect(name, estimator))
                continue
            if isinstance(result, list):
                # Several targets, each with classes of its own, do not make one tensor.
                continue
            array = _dense(result)
            widths = array.shape[1:] if known_width else (ANY,) * (array.ndim - 1)
            specs.append(TensorSpec(name, datatype_of(array.dtype), (ANY, *widths)))
        if not specs:
            raise _bad("can neither predict nor transform")
        return tuple(specs)

    @staticmethod
    def _check(declared: tuple[TensorSpec, ...], found: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        known = [spec.name for spec in found]
        for spec in declared:
            if spec.name not in known:
                raise _bad(f"has no output {spec.name!r}; it has {', '.join(known)}")
        return declared


def use_one_thread(estimator: Any) -> None:
    """Have an estimator answer in the calling thread.

    The server predicts in several threads already; more of them in each cost more than they bring, and
    let sums of floats depend on which thread ends first.
    """
    if hasattr(estimator, "get_params"):
        jobs = [name for name in estimator.get_params() if name.rpartition("__")[2] == "n_jobs"]
        estimator.set_params(**dict.fromkeys(jobs, 1))
    for part in parts(estimator):
        # Of k-means; as many as the machine had on which it was fitted, or as whoever made the file wrote.
        if "_n_threads" in getattr(part, "__dict__", ()):
            part._n_threads = 1  # noqa: SLF001 (it is no parameter)


def _methods(estimator: Any) -> dict[str, Callable[[Array], Any]]:
    names = ("predict", "predict_proba") if hasattr(estimator, "predict") else ("transform",)
    return {name: getattr(estimator, name) for name in names if hasattr(estimator, name)}


def _input_spec(estimator: Any) -> TensorSpec:
    if _takes_text(estimator):
        return TensorSpec(INPUT, "BYTES", (ANY,))
    return TensorSpec(INPUT, "FP64", (ANY, getattr(estimator, "n_features_in_", ANY)))


def _takes_text(estimator: Any) -> bool:
    first = estimator.steps[0][1] if isinstance(estimator, Pipeline) else estimator
    if not hasattr(first, "__sklearn_tags__"):
        return False
    tags = get_tags(first).input_tags
    return bool(tags.string and not tags.two_d_array)


def _sample(spec: TensorSpec) -> Array:
    shape = tuple(1 if extent == ANY else extent for extent in spec.shape)
    dtype = DTYPES[spec.datatype]
    return np.full(shape, "", dtype) if dtype.kind == "O" else np.zeros(shape, dtype)


def _expect(name: str, estimator: Any) -> TensorSpec:
    classes = getattr(estimator, "classes_", None)
    if name == "predict":
        datatype = datatype_of(classes.dtype) if isinstance(classes, np.ndarray) else "FP64"
        return TensorSpec(name, datatype, (ANY,))
    return TensorSpec(name, "FP64", (ANY, ANY if classes is None else len(classes)))


def _columns(estimator: Any, declared: Signature | None) -> tuple[Column, ...]:
    """Return the columns that an estimator takes as inputs of their own; none where it takes an array.

    Raises:
        UnacceptableError: the signature that is declared names others.
    """
    found = columns(estimator)
    if declared is None or (not found and len(declared.inputs) == 1):
        return found
    given = [spec.name for spec in declared.inputs]
    known = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
    missing = [column.name for column in found if column.name not in given]
    unknown = [name for name in given if name not in known]
    if not known:
        raise _bad(f"takes one input, but its signature names {len(given)}")
    if missing or unknown:
        raise _bad(
            f"was fitted on a table with the columns {', '.join(known)}; its signature has to name these, "
            f"not {', '.join(given)}"
        )
    examples = {column.name: column for column in found}
    return tuple(
        msgspec.structs.replace(examples[spec.name], allow_missing=spec.allow_missing)
        if spec.name in examples and examples[spec.name].datatype == spec.datatype
        else Column(
            spec.name,
            spec.datatype,
            "" if spec.datatype == "BYTES" else 0,
            allow_missing=spec.allow_missing,
        )
        for spec in declared.inputs
    )


def _inputs(
    estimator: Any, declared: Signature | None, table_columns: tuple[Column, ...]
) -> tuple[TensorSpec, ...]:
    if table_columns:
        return tuple(column.spec for column in table_columns)
    return declared.inputs if declared is not None else (_input_spec(estimator),)


def _sample_table(table_columns: tuple[Column, ...], gaps: Mapping[str, float | None] = _NO_GAPS) -> Any:
    """Return a table of one row, with what stands for a missing value in some columns, by name."""
    return table(
        {
            column.name: np.array([gaps.get(column.name, column.example)], DTYPES[column.datatype])
            for column in table_columns
        }
    )


def _plain(array: Array, gap: float | None = None) -> Array:
    """Return an array as estimators take it; where a text is missing, with what stands for that."""
    return _text(array, gap) if array.dtype.kind == "O" else array


def _dense(result: Any) -> Array:
    if type(result) is np.ndarray:
        return result
    return np.asarray(result.toarray() if scipy.sparse.issparse(result) else result)


def _text(array: Array, gap: float | None) -> Array:
    flat = [
        element.decode() if isinstance(element, bytes) else gap if element is None else element
        for element in array.ravel().tolist()
    ]
    text = np.empty(len(flat), dtype=object)
    text[:] = flat
    return text.reshape(array.shape)


def _bad(what: str) -> UnacceptableError:
    return UnacceptableError(f"The model cannot be served: it {what}.", code="not_loadable")
