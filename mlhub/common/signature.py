"""What a model takes and gives: names, datatypes and shapes of its inputs and outputs."""

from typing import Final

import msgspec

ANY: Final = -1
"""An extent that may have any value; the first dimension, the rows of a batch, always has it."""


class TensorSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input or output of a model."""

    name: str
    """Name under which the model server knows it."""
    datatype: str
    """Datatype of the Open Inference Protocol, e.g. `FP32`."""
    shape: tuple[int, ...]
    """Extents with the rows of a batch first; `-1` where any extent will do."""
    allow_missing: bool = False
    """Whether values of an input may be missing: NaN among fractions, `None` among texts."""

    @property
    def row(self) -> tuple[int, ...]:
        """Shape of one row: without the batch's dimension."""
        return self.shape[1:]


class Signature(msgspec.Struct, frozen=True):
    """The inputs and outputs of one version of a model, as its server declares them."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...] = ()

    @property
    def batchable(self) -> bool:
        """Whether rows of several requests can share one call: every tensor has a free first dimension."""
        specs = self.inputs + self.outputs
        return bool(self.inputs) and all(spec.shape and spec.shape[0] == ANY for spec in specs)
