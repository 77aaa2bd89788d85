"""The record of an asynchronous prediction and the states it may pass through."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from mlhub.common.tensor import Tensor
from mlhub.common.webhook import Webhook


class PredictionStatus(StrEnum):
    """Where a prediction stands."""

    STARTING = "starting"
    """Accepted and kept; no worker has begun."""
    PROCESSING = "processing"
    """A worker holds a lease on it."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


TRANSITIONS: Final[dict[PredictionStatus, frozenset[PredictionStatus]]] = {
    PredictionStatus.STARTING: frozenset(
        {PredictionStatus.PROCESSING, PredictionStatus.FAILED, PredictionStatus.CANCELED}
    ),
    # A worker whose lease ran out is replaced by another one: processing may begin again.
    PredictionStatus.PROCESSING: frozenset(
        {
            PredictionStatus.PROCESSING,
            PredictionStatus.SUCCEEDED,
            PredictionStatus.FAILED,
            PredictionStatus.CANCELED,
        }
    ),
    PredictionStatus.SUCCEEDED: frozenset(),
    PredictionStatus.FAILED: frozenset(),
    PredictionStatus.CANCELED: frozenset(),
}
"""The legal changes of status."""

ENDED: Final = frozenset(status for status, following in TRANSITIONS.items() if not following)
"""The statuses that never change again."""


class BulkProgress(msgspec.Struct, frozen=True):
    """How far a bulk prediction is; the rest of it is `mlhub.common.bulk`'s."""

    total: int
    """Its rows."""
    done: int = 0
    """Rows whose output is there."""


class StoredTensors(msgspec.Struct, frozen=True):
    """Inputs or outputs that are too large for a document, as a file in the bundle store."""

    key: str
    """Its name there."""
    holder: str
    """Who holds it there."""
    size: int
    """Bytes."""
    sha256: str
    """SHA-256 of its bytes, in hexadecimal."""


class Prediction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One asynchronous prediction."""

    id: str
    """Sortable by time of creation; the name of its group, and of several in one group the place there."""
    model: str
    version: str
    backend: str
    deployment: str
    """Name under which the model server has the version."""
    inputs: tuple[Tensor, ...] = ()
    """What to predict from, rows first; not kept once it is of no more use."""
    inputs_file: StoredTensors | None = None
    """Where the elements of large inputs are, which have none in `inputs` then."""
    outputs: tuple[str, ...] = ()
    """Names of the outputs that were asked for; empty means the model's default."""
    single: bool = False
    """Whether the client gave one row and gets one output, not a list of one."""
    protocol: str = "mlhub"
    """Form in which the client asked and gets its answer: `mlhub` or `oip`."""
    labels: tuple[str, ...] = ()
    """Names of the classes, kept so that the answer is the same when the model changes."""
    status: PredictionStatus = PredictionStatus.STARTING
    result: tuple[Tensor, ...] = ()
    """The model's outputs, once succeeded."""
    apart: bool = False
    """Whether the outputs are too large to be kept with it, and so in a document of their own or a file."""
    result_file: StoredTensors | None = None
    """Where they are, when they are too large for a document."""
    error: str | None = None
    """Why it failed, for the user."""
    created_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    predict_time: float | None = None
    """Seconds that the model server took."""
    lease_until: datetime | None = None
    """Until when one worker alone may work on it, UTC."""
    attempts: int = 0
    """How often a worker began."""
    tries: int = 0
    """How often a worker began it by itself, after one died on its group."""
    dead: bool = False
    """Whether it failed because no worker could end it; such work may be taken up once more."""
    published_at: datetime | None = None
    """When its message was last put on the queue, UTC."""
    key: str | None = None
    """Digest of the client's idempotency key: no two predictions have the same."""
    bulk: BulkProgress | None = None
    """Of a bulk prediction, whose rows and outputs are in the bundle store."""
    order_digest: str | None = None
    """Digest of what was ordered under that key."""
    webhook: Webhook | None = None
    """Whom to call when it has ended."""
    owner: str = ""
    """Who ordered it, as far as the hub knows; work of several is served in turn."""
    request: str = "-"
    """Id of the request that ordered it."""
    trace: str = ""
    """That request's span; empty without traces."""

    @property
    def lane(self) -> str:
        """What it stands in line with: work for the same model, from the same side."""
        return f"{self.backend}/{self.model}/{self.owner}"


def group_of(identity: str) -> str:
    """Name the group of a prediction: what is kept and worked on together with it."""
    return identity.partition("-")[0]
