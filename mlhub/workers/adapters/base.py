"""What every adapter to a kind of model server can do."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import msgspec

from mlhub.common.batch import BatchRequest
from mlhub.common.errors import BackendError
from mlhub.common.signature import Signature
from mlhub.common.tensor import Tensor

PROBE_TIMEOUT: Final = 3.0
"""Seconds a server may take to say that it is well: a busy one takes its time, and the API waits for it."""


class RowsError(BackendError):
    """Some rows of a batch failed by their own fault; the others have their outputs."""

    def __init__(self, outputs: tuple[Tensor, ...], errors: Mapping[int, BackendError]) -> None:
        first = next(iter(errors.values()))
        super().__init__(first.detail, code=first.code, brief=first.brief)
        self.outputs = outputs
        """Stacked outputs of the good rows, in order."""
        self.errors = errors
        """What went wrong, by the number of the row."""


class BackendAdapter(Protocol):
    """Speaks one protocol to the model servers of one backend; knows nothing of jobs, and is thread-safe.

    Every method raises errors of the family `BackendError` only: `BackendUnreachableError` when no server
    can be reached, `BackendTimeoutError` when one is too slow, `BackendRefusedError` with the server's own
    words when it refuses, `NotDeployedError` when it does not have the version, `BackendError` otherwise.
    """

    def deploy(self, model: str, deployment: str, files: Path) -> None:
        """Make the servers have a version, from the folder with its files; again does no harm."""

    def undeploy(self, model: str, deployment: str) -> None:
        """Make the servers forget a version; one that they do not have is fine."""

    def ready(self, model: str, deployment: str) -> bool:
        """Tell whether the servers can predict with a version."""
        ...

    def deployments(self) -> frozenset[tuple[str, str]]:
        """Return what the servers have now: models and deployments, each on every server that is there.

        A version that is missing here has to be deployed again, whatever became of it: a server may have
        come up empty. Servers may also have models that the hub knows nothing of.
        """
        ...

    def signature(self, model: str, deployment: str) -> Signature:
        """Return what a version takes and gives, as the servers declare it."""
        ...

    def predict(
        self, model: str, deployment: str, inputs: Sequence[Tensor], outputs: Sequence[str] = ()
    ) -> tuple[Tensor, ...]:
        """Predict a batch in one call; `outputs` names those wanted, none means the model's default.

        An adapter that knows which rows are to blame raises `RowsError`.
        """
        ...

    def probe(self) -> None:
        """Return when a server is well, raise what is wrong when none is."""


class Answered(msgspec.Struct, frozen=True):
    """What became of one batch of several in a call."""

    outputs: tuple[Tensor, ...] = ()
    error: BackendError | None = None
    """Why there are no outputs."""
    seconds: float = 0.0
    """How long the server took for it."""

    def result(self) -> tuple[Tensor, ...]:
        """Return the outputs, as `BackendAdapter.predict` does."""
        if self.error is not None:
            raise self.error
        return self.outputs


@runtime_checkable
class SharingAdapter(Protocol):
    """What an adapter can do, too, whose servers answer batches of several models in one call."""

    def predict_together(self, batches: Sequence[BatchRequest]) -> Sequence[Answered] | None:
        """Predict batches that have nothing to do with each other; nothing when this server cannot.

        Raises:
            BackendError: the call as a whole failed.
        """
        ...
