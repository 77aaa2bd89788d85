"""The operations calls: backends, queues and workers, as they were at the last look."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from mlhub.api.operations.registry import Registry
from mlhub.api.operations.watch import Watch, known
from mlhub.api.services.health import LONGEST, Health
from mlhub.common import topology
from mlhub.common.backend import BackendSettings
from mlhub.common.errors import NotFoundError, UnavailableError
from mlhub.common.operations import BackendState, PoolState, Purged, QueueState, WorkerState
from mlhub.common.sampling import QueueSampler

Oldest = Callable[[str], datetime | None]
"""Tells since when the oldest asynchronous prediction of a backend waits; blocking."""
Pools = Callable[[str], Mapping[str, PoolState]]
"""Returns the pools of a backend that can be scaled; blocking."""
Cancel = Callable[[str], int]
"""Cancels all asynchronous predictions of a backend that wait, and tells how many; blocking."""
Purge = Callable[[str], int]
"""Empties a queue of the broker, and tells how many messages there were; blocking."""


class OperationsService:
    """Knows the parts of a hub from what they say, and never waits long for one."""

    def __init__(
        self,
        backends: Mapping[str, BackendSettings],
        sampler: QueueSampler,
        registry: Registry,
        look: Callable[[], Awaitable[Health]],
        oldest: Oldest,
        pools: Pools,
    ) -> None:
        """Remember whom to ask.

        Args:
            backends: those of the hub.
            sampler: looks at queues.
            registry: knows the workers that live.
            look: asks all parts how they are.
            oldest: knows since when predictions wait.
            pools: knows which pools can be scaled.
        """
        self._backends = backends
        self._sampler = sampler
        self._registry = registry
        self._oldest = oldest
        self._pools = pools
        self._queues = Watch(self._sample, "The message broker")
        self._health = Watch(look, "The hub", LONGEST)
        self._sizes = Watch(lambda: asyncio.to_thread(self._look_at_pools), "The metadata database")

    @property
    def age(self) -> float:
        """Seconds since the queues were last looked at."""
        return self._queues.age

    async def queues(self) -> Sequence[QueueState]:
        """Return all queues, also those nobody listens to.

        Raises:
            UnavailableError: the broker is away.
        """
        return await self._queues.get()

    async def queue(self, name: str) -> QueueState:
        """Return one queue.

        Raises:
            NotFoundError: the hub has none of that name.
            UnavailableError: the broker is away.
        """
        found = next((queue for queue in await self.queues() if queue.name == name), None)
        if found is None:
            raise NotFoundError(
                f"There is no queue {name!r}; GET /queues lists them.", code="queue_not_found"
            )
        return found

    async def workers(self) -> list[WorkerState]:
        """Return the worker processes that live.

        Raises:
            UnavailableError: the broker is away, so that nobody hears them.
        """
        if not self._registry.listening:
            raise UnavailableError(
                "The message broker does not answer, so that nothing is known of the workers; "
                "try again in a moment.",
                code="broker_unavailable",
                retry_after=2,
            )
        await self._registry.settled()
        return self._registry.workers()

    async def worker(self, name: str) -> WorkerState:
        """Return one worker process.

        Raises:
            NotFoundError: none of that name lives.
            UnavailableError: the broker is away.
        """
        found = next((worker for worker in await self.workers() if worker.name == name), None)
        if found is None:
            raise NotFoundError(
                f"No worker {name!r} lives; GET /workers lists those that do.", code="worker_not_found"
            )
        return found

    async def health(self) -> Health:
        """Return how all parts were a moment ago.

        Raises:
            UnavailableError: they do not say.
        """
        return await self._health.get()

    async def backends(self) -> list[BackendState]:
        """Return all backends, in the order of the settings.

        Raises:
            UnavailableError: the broker is away.
        """
        queues, workers, backends = await asyncio.gather(self.queues(), self.workers(), self.without_broker())
        running = Counter((worker.backend, worker.kind) for worker in workers)
        return [
            msgspec.structs.replace(
                backend,
                workers={kind: running[backend.name, kind] for kind in ("predict", "jobs")},
                queues=tuple(queue for queue in queues if queue.backend == backend.name),
            )
            for backend in backends
        ]

    async def without_broker(self) -> list[BackendState]:
        """Return all backends with what is known of them while the broker is away."""
        looks = known(self._health.get), known(self._sizes.get)
        health, sizes = await asyncio.gather(*looks)
        parts = {} if health is None else {part.name: part for part in health.backends}
        return [
            BackendState(
                name=name,
                types=settings.types,
                protocol=settings.protocol,
                addresses=settings.addresses,
                healthy=parts[name].healthy if name in parts else None,
                detail=parts[name].detail if name in parts else "",
                pools={} if sizes is None else dict(sizes[name]),
            )
            for name, settings in self._backends.items()
        ]

    async def backend(self, name: str) -> BackendState:
        """Return one backend.

        Raises:
            NotFoundError: there is none of that name.
            UnavailableError: the broker is away.
        """
        found = next((backend for backend in await self.backends() if backend.name == name), None)
        if found is None:
            raise NotFoundError(
                f"There is no backend {name!r}; GET /backends lists them.", code="backend_not_found"
            )
        return found

    def changed(self) -> None:
        """Have the queues looked at anew, since something was done to them."""
        self._queues.forget()

    def close(self) -> None:
        """Close the connection that queues are looked at by."""
        self._sampler.close()

    async def _sample(self) -> Sequence[QueueState]:
        return await asyncio.to_thread(self._look_at_queues)

    def _look_at_queues(self) -> Sequence[QueueState]:
        return [self._with_age(queue) for queue in self._sampler.sample()]

    def _look_at_pools(self) -> dict[str, Mapping[str, PoolState]]:
        return {name: self._pools(name) for name in self._backends}

    def _with_age(self, queue: QueueState) -> QueueState:
        """Add what the broker does not tell of jobs: it has no times of the messages in quorum queues."""
        if queue.oldest_age is not None or queue.backend is None:
            return queue
        if queue.name not in [jobs.name for jobs in topology.job_queues(queue.backend)]:
            return queue
        try:
            since = self._oldest(queue.backend)
        except UnavailableError:
            # The rest is worth telling without.
            return queue
        if since is None:
            return queue
        age = max(0.0, (datetime.now(UTC) - since).total_seconds())
        return msgspec.structs.replace(queue, oldest_age=age)


class PurgeService:
    """Empties queues."""

    def __init__(self, operations: OperationsService, purge: Purge, cancel: Cancel) -> None:
        self._operations = operations
        self._purge = purge
        self._cancel = cancel

    async def purge(self, name: str) -> Purged:
        """Take all messages from a queue; predictions that waited there are canceled.

        Clients that wait for an answer get an error at once. Uploads that wait for their validation are put
        back on the queue by the sweeper: their versions are still to be validated.

        Raises:
            NotFoundError: there is no such queue.
            UnavailableError: the broker or the database is away.
        """
        queue = await self._operations.queue(name)
        canceled = 0
        if queue.backend is not None and name != topology.predict_queue_name(queue.backend):
            # First, so that a worker that takes one meanwhile leaves it alone.
            canceled = await asyncio.to_thread(self._cancel, queue.backend)
        messages = await asyncio.to_thread(self._purge, name)
        self._operations.changed()
        return Purged(queue=name, messages=messages, canceled=canceled)
