"""What operators see of a hub: its queues, its workers, its backends."""

from datetime import datetime

import msgspec


class QueueState(msgspec.Struct, frozen=True, kw_only=True):
    """How one queue was when it was looked at; what nobody knows is `None`."""

    name: str
    backend: str | None = None
    """The backend whose work waits there; nothing for the queue of dead letters."""
    ready: int = 0
    """Messages that wait for a worker."""
    unacknowledged: int | None = None
    """Messages that a worker holds and is not done with."""
    consumers: int = 0
    """Workers that take messages from it."""
    publish_rate: float | None = None
    """Messages a second that come."""
    deliver_rate: float | None = None
    """Messages a second that workers take."""
    oldest_age: float | None = None
    """Seconds that the oldest of the waiting messages has waited; 0 when none waits."""
    sampled_at: datetime | None = None
    """When it was looked at, UTC."""


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """One worker process, as its last sign of life had it."""

    name: str
    """Unique: no two processes have the same, not even one after the other."""
    backend: str
    kind: str
    """`predict` or `jobs`."""
    host: str
    pid: int
    concurrency: int = 0
    """Calls to model servers that it makes at once."""
    active: int = 0
    """Messages it works on."""
    processed: int = 0
    """Messages it has begun since it started."""
    memory: int | None = None
    """Bytes of memory it holds."""
    started_at: datetime | None = None
    """When it was started, UTC."""
    last_heartbeat: datetime
    """When it last gave a sign of life, UTC."""


class PoolState(msgspec.Struct, frozen=True):
    """One pool, as it is and as it should be."""

    desired: int
    """Processes it should have."""
    actual: int
    """Processes it has, those about to end among them."""
    minimum: int
    maximum: int
    automatic: bool
    """Whether it follows its load."""
    by: str
    """Who wants that size: `settings`, `operator` or `load`."""
    since: datetime


class BackendState(msgspec.Struct, frozen=True, kw_only=True):
    """One backend: its model servers, its pools, its queues."""

    name: str
    types: tuple[str, ...] = ()
    """Types of models that it serves by default."""
    protocol: str = ""
    addresses: tuple[str, ...] = ()
    """Base addresses of its model servers."""
    healthy: bool | None = None
    """Whether a model server answers through the predict pool."""
    detail: str = ""
    """What is wrong, when it is not well."""
    workers: dict[str, int] = {}
    """Worker processes that live, by the kind of their pool."""
    pools: dict[str, PoolState] = {}
    """Pools that can be scaled, by their kind; none where nobody starts and ends processes for the hub."""
    queues: tuple[QueueState, ...] = ()


class Purged(msgspec.Struct, frozen=True, kw_only=True):
    """What emptying a queue did."""

    queue: str
    messages: int
    """Messages that were taken away."""
    canceled: int = 0
    """Asynchronous predictions that will not be made."""


class Point(msgspec.Struct, frozen=True):
    """What happened since the point before."""

    time: float
    """Its end, in seconds since 1970."""
    requests: float
    """Predictions answered a second."""
    failures: float
    """Requests of all kinds a second that the hub failed on."""
    median: float | None
    """Seconds within which half of the predictions were answered; none without predictions."""
    slow: float | None
    """Seconds within which 95 of 100 were."""
