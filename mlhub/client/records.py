"""What the hub tells of models, versions and predictions. Fields that a newer hub adds are left out."""

from datetime import datetime
from typing import Any

import msgspec

from mlhub.common.signature import Signature


class Bundle(msgspec.Struct, frozen=True):
    """The archive that a version was uploaded as."""

    sha256: str
    size: int
    """Bytes."""
    filename: str


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model."""

    version: str
    state: str
    """`validating`, `ready` or `failed`."""
    bundle: Bundle
    created_at: datetime
    ready_at: datetime | None = None
    error: str | None = None
    """Why it failed."""
    signature: Signature | None = None
    labels: tuple[str, ...] = ()


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model with its versions, newest first."""

    model: str
    type: str
    state: str
    """`empty`, `validating`, `ready` or `failed`."""
    created_at: datetime
    updated_at: datetime
    backend: str | None = None
    version: str | None = None
    """What `latest` means now."""
    meta: dict[str, Any] = {}
    description: str = ""
    reference: str = ""
    discipline: str = ""
    tags: tuple[str, ...] = ()
    visibility: str = "public"
    owner: str | None = None
    input_example: Any = None
    versions: tuple[Version, ...] = ()


class Metrics(msgspec.Struct, frozen=True):
    """Where the time of a prediction went, in seconds."""

    queue_time: float | None = None
    predict_time: float | None = None


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """An asynchronous prediction."""

    id: str
    model: str
    version: str
    status: str
    """`starting`, `processing`, `succeeded`, `failed` or `canceled`."""
    created_at: datetime
    output: Any = None
    error: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    metrics: Metrics = Metrics()
    labels: Any = None

    @property
    def ended(self) -> bool:
        """Whether it changes no more."""
        return self.status in ("succeeded", "failed", "canceled")
