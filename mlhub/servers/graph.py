"""A model that is a function from arrays to arrays, seen through a signature: names, and numbers of rows."""

from collections.abc import Callable
from typing import Final

import numpy as np

from mlhub.common.errors import UnacceptableError
from mlhub.common.signature import ANY, Signature, TensorSpec
from mlhub.common.tensor import DTYPES, Array
from mlhub.servers.artefact import first_line, refusal

Compute = Callable[[list[Array]], list[Array]]
"""Computes all outputs from all inputs, both in the order of the model's own signature."""

_REFUSED: Final = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What frameworks raise on values that a model cannot use."""


class GraphModel:
    """A loaded model around what a framework made of its file."""

    def __init__(
        self,
        compute: Compute,
        own: Signature,
        declared: Signature | None,
        *,
        size_bytes: int,
        most_rows: int | None = None,
        refused: tuple[type[Exception], ...] = (),
    ) -> None:
        """Fit the model to the protocol.

        Args:
            compute: the model.
            own: what it takes and gives, as the framework knows it.
            declared: the bundle's own signature, which may give the tensors other names.
            size_bytes: bytes of memory it takes.
            most_rows: rows that it can take at once; nothing where any number will do.
            refused: what `compute` raises on bad values besides Python's own errors.

        Raises:
            UnacceptableError: it takes a certain number of rows only, or is not what was declared.
        """
        free, fixed = _free_rows(own)
        self.signature = free if declared is None else _renamed(free, declared)
        self.size_bytes = size_bytes
        self._compute = compute
        self._most_rows = fixed or most_rows
        self._refused: tuple[type[Exception], ...] = (*_REFUSED, *refused)
        self._dtypes = [DTYPES[spec.datatype] for spec in self.signature.outputs]
        self._inputs = [spec.name for spec in self.signature.inputs]
        self._places = {spec.name: place for place, spec in enumerate(self.signature.outputs)}
        self._default = (self.signature.outputs[0].name,)

    def predict(self, inputs: dict[str, Array], outputs: tuple[str, ...]) -> dict[str, Array]:
        """Compute outputs; without names, the default one.

        Raises:
            UnacceptableError: the model refuses the values.
        """
        arrays = [inputs[name] for name in self._inputs]
        if any(array.size == 0 for array in arrays):
            raise UnacceptableError("The model refuses this input: it has no values.", code="bad_input")
        try:
            results = self._in_pieces(arrays)
        except self._refused as error:
            raise UnacceptableError(
                f"The model refuses this input: {first_line(error).rstrip('.:')}.", code="bad_input"
            ) from error
        return {name: self._output(results, self._places[name]) for name in outputs or self._default}

    def _in_pieces(self, arrays: list[Array]) -> list[Array]:
        most = self._most_rows
        rows = len(arrays[0])
        if most is None or rows <= most:
            return self._compute(arrays)
        pieces = [self._compute([array[at : at + most] for array in arrays]) for at in range(0, rows, most)]
        return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]

    def _output(self, results: list[Array], place: int) -> Array:
        result = results[place]
        dtype = self._dtypes[place]
        if result.dtype == dtype or (dtype.kind == "O" and result.dtype.kind in "SU"):
            return result
        return result.astype(dtype, casting="same_kind")


def _free_rows(own: Signature) -> tuple[Signature, int | None]:
    """Let a model that takes one row only take any number of them, one after the other.

    Returns:
        The signature, and how many rows the model can take at once where that is a certain number.
    """
    firsts = {spec.shape[0] if spec.shape else None for spec in own.inputs}
    if ANY in firsts:
        return own, None
    specs = own.inputs + own.outputs
    if any(not spec.shape or spec.shape[0] != 1 for spec in specs):
        shapes = ", ".join(f"{spec.name!r} {list(spec.shape)}" for spec in own.inputs)
        raise refusal(
            f"it takes inputs of these shapes only: {shapes}; save it with a first dimension of any extent, "
            "so that it takes any number of rows"
        )
    return Signature(_freed(own.inputs), _freed(own.outputs)), 1


def _freed(specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(spec.name, spec.datatype, (ANY, *spec.row)) for spec in specs)


def _renamed(own: Signature, declared: Signature) -> Signature:
    """Give the model's tensors the names that were declared for them, in order."""
    return Signature(
        _matched("inputs", own.inputs, declared.inputs),
        _matched("outputs", own.outputs, declared.outputs) if declared.outputs else own.outputs,
    )


def _matched(
    what: str, own: tuple[TensorSpec, ...], declared: tuple[TensorSpec, ...]
) -> tuple[TensorSpec, ...]:
    if len(own) != len(declared):
        raise refusal(f"it has {len(own)} {what}, but its mlhub.json names {len(declared)}")
    by_name = {spec.name: spec for spec in declared}
    # Names that are the model's own may come in any order.
    same = all(spec.name in by_name for spec in own)
    ordered = tuple(by_name[spec.name] for spec in own) if same else declared
    for mine, theirs in zip(own, ordered, strict=True):
        if theirs.allow_missing and mine.datatype == "BYTES":
            raise refusal(f"its mlhub.json lets {theirs.name!r} be missing, and its texts cannot be")
        if mine.datatype != theirs.datatype or not _agree(mine.shape, theirs.shape):
            raise refusal(
                f"its mlhub.json gives {theirs.name!r} as {theirs.datatype} {list(theirs.shape)}, "
                f"but the model has {mine.datatype} {list(mine.shape)} there"
            )
    return ordered


def _agree(own: tuple[int, ...], declared: tuple[int, ...]) -> bool:
    return len(own) == len(declared) and all(
        mine in (ANY, theirs) for mine, theirs in zip(own, declared, strict=True)
    )
