"""What the hub answers, as records; fields that a newer hub adds are passed over."""

from datetime import datetime
from typing import Any, TypeVar

import msgspec
import requests

from mlhub.client.errors import HubError
from mlhub.common.signature import Signature

T = TypeVar("T")


class Bundle(msgspec.Struct, frozen=True):
    """The archive a version was uploaded as."""

    sha256: str
    """SHA-256 of its bytes, in hexadecimal."""
    size: int
    """Bytes."""
    filename: str = ""
    """Name the hub offers it under."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model."""

    version: str
    """Its name."""
    state: str
    """`validating`, `ready` or `failed`."""
    model: str | None = None
    """The model it belongs to, where the answer is about the version alone."""
    error: str | None = None
    """Why it failed."""
    signature: Signature | None = None
    """What it takes and gives, once ready."""
    labels: tuple[str, ...] = ()
    """Names of the classes, where its bundle has them."""
    bundle: Bundle | None = None
    """What was uploaded."""
    created_at: datetime | None = None
    """When the upload was complete."""
    ready_at: datetime | None = None
    """When it began to serve."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """An entry: a model with its metadata and versions."""

    model: str
    """Its name."""
    type: str
    """`TensorFlow`, `PyTorch`, `Keras` or `ScikitLearn`."""
    state: str
    """`empty`, `validating`, `ready` or `failed`."""
    backend: str = ""
    """Backend that serves it."""
    version: str | None = None
    """What `latest` means now."""
    meta: dict[str, Any] = {}
    """Whatever its owner keeps with it."""
    description: str = ""
    reference: str = ""
    """Where it is published."""
    discipline: str = ""
    """Field of research."""
    tags: tuple[str, ...] = ()
    visibility: str = "public"
    owner: str | None = None
    input_example: Any = None
    """An input it accepts."""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    versions: tuple[Version, ...] = ()
    """Newest first."""


class Answer(msgspec.Struct, frozen=True):
    """The answer to a prediction, as JSON has it."""

    model: str
    version: str
    output: Any
    """One output for one row, a list for a list; by name where the model gives several."""
    labels: Any = None
    """Names of the classes, where the version has them."""


class Metrics(msgspec.Struct, frozen=True):
    """How long an asynchronous prediction took."""

    queue_time: float | None = None
    """Seconds before a worker began."""
    predict_time: float | None = None
    """Seconds that the model server took."""


class Delivery(msgspec.Struct, frozen=True):
    """One call of a webhook."""

    at: datetime | None = None
    status: int | None = None
    """What the receiver answered."""
    error: str | None = None
    """Why it counts as failed."""
    duration: float = 0.0
    """Seconds it took."""


class Webhook(msgspec.Struct, frozen=True):
    """Whom the hub calls when a prediction has ended."""

    url: str
    deliveries: tuple[Delivery, ...] = ()
    """Calls so far, oldest first."""


class Rows(msgspec.Struct, frozen=True):
    """How far the prediction of a file is."""

    done: int
    """Rows whose output is there."""
    total: int


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """An asynchronous prediction."""

    id: str
    status: str
    """`starting`, `processing`, `succeeded`, `failed` or `canceled`."""
    model: str = ""
    version: str = ""
    backend: str = ""
    output: Any = None
    """As in `Answer`, once it succeeded."""
    labels: Any = None
    """As in `Answer`."""
    error: str | None = None
    """Why it failed."""
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    metrics: Metrics = Metrics()
    progress: Rows | None = None
    """Of the prediction of a file, whose output is a file as well."""
    webhook: Webhook | None = None

    @property
    def ended(self) -> bool:
        """Whether it changes no more."""
        return self.status in {"succeeded", "failed", "canceled"}


class Part(msgspec.Struct, frozen=True):
    """How one part of the hub is."""

    name: str
    healthy: bool
    detail: str = ""
    """What is wrong, when it is not well."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How the hub is."""

    version: str
    """Of MLHub."""
    ready: bool
    """Whether predictions can be answered."""
    uptime: float = 0.0
    """Seconds since the answering process started."""
    python: str = ""
    broker: Part | None = None
    database: Part | None = None
    store: Part | None = None
    backends: tuple[Part, ...] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts that the hub told of."""
        own = (self.broker, self.database, self.store)
        return tuple(part for part in own if part is not None) + self.backends


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """Like processes of one backend."""

    desired: int
    """How many there should be."""
    actual: int
    """How many there are, those about to end among them."""
    minimum: int = 0
    maximum: int = 0
    """The bounds of both."""
    automatic: bool = False
    """Whether it follows its load."""
    by: str = ""
    """Who wants that size: `settings`, `operator` or `load`."""
    since: datetime | None = None


class Pools(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The pools of a backend; those that the hub does not run are missing."""

    backend: str
    predict: Pool | None = None
    """They carry predictions of clients that wait."""
    jobs: Pool | None = None
    """They do asynchronous predictions, and look after uploads."""
    servers: Pool | None = None
    """Model servers."""

    @property
    def by_kind(self) -> dict[str, Pool]:
        """Those that there are."""
        named = {"predict": self.predict, "jobs": self.jobs, "servers": self.servers}
        return {kind: pool for kind, pool in named.items() if pool is not None}

    @property
    def settled(self) -> bool:
        """Whether each has the size that it should have."""
        return all(pool.actual == pool.desired for pool in self.by_kind.values())


def read(response: requests.Response, kind: type[T]) -> T:
    """Return the record in an answer.

    Raises:
        HubError: the answer is something else, as from a server that is no hub.
    """
    try:
        return msgspec.json.decode(response.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HubError(
            f"What {response.url} answered is not what a hub answers: {error}.",
            status=response.status_code,
            code="bad_answer",
            request_id=response.headers.get("X-Request-ID"),
        ) from error
