"""The seam between the model server and a framework: what a runtime loads, and what it then can do."""

from pathlib import Path
from typing import Protocol

from mlhub.common.signature import Signature
from mlhub.common.tensor import Array


class LoadedModel(Protocol):
    """One version of a model in memory. Many threads may predict with it at once."""

    @property
    def signature(self) -> Signature:
        """What it takes and gives; the first output is the default one."""

    @property
    def size_bytes(self) -> int:
        """Bytes of memory it takes, as well as can be told."""

    def predict(self, inputs: dict[str, Array], outputs: tuple[str, ...]) -> dict[str, Array]:
        """Compute outputs, rows first.

        Args:
            inputs: what the signature asks for, of its datatypes and shapes. They may be read-only.
            outputs: names from the signature; empty means the default one.

        Raises:
            UnacceptableError: the model itself refuses the values.
        """


class Runtime(Protocol):
    """Loads the models of one framework."""

    @property
    def platform(self) -> str:
        """Name of the framework, as the metadata of a model gives it."""

    def load(self, folder: Path) -> LoadedModel:
        """Load the model whose files lie in `folder`.

        Raises:
            UnacceptableError: it cannot be loaded; the sentence says why.
        """
