"""The numbers of the whole hub, from whichever process of the API is asked.

Each process tells the others its numbers with its signs of life, so that a load balancer in between does
no harm: every answer has all processes, those of others as they were a moment ago.
"""

import platform
from collections.abc import Iterator, Sequence

import mlhub
from mlhub.api.operations.beat import Beat
from mlhub.api.operations.registry import Registry
from mlhub.api.operations.service import OperationsService
from mlhub.common import metrics
from mlhub.common.errors import MLHubError
from mlhub.common.exposition import Readings
from mlhub.common.operations import BackendState, QueueState
from mlhub.common.pulse import API, Pulse
from mlhub.common.tally import Reading


class MetricsService:
    """Gathers numbers."""

    def __init__(self, operations: OperationsService, registry: Registry, beat: Beat) -> None:
        self._operations = operations
        self._registry = registry
        self._beat = beat

    async def gather(self) -> Readings:
        """Return all numbers that are known; what is away is missing, and said to be away."""
        pulses = {seen.pulse.hostname: seen.pulse for seen in self._registry.pulses()}
        pulses[self._beat.name] = self._beat.pulse()
        processes = {name: list(_of_process(pulse)) for name, pulse in pulses.items()}
        return Readings(processes, await self._of_hub())

    async def _of_hub(self) -> list[Reading]:
        readings = [Reading(metrics.BUILD, (mlhub.__version__, platform.python_version()), 1)]
        try:
            health = await self._operations.health()
        except MLHubError:
            return readings
        readings += [
            Reading(metrics.PART_UP, (part.name,), part.healthy)
            for part in (health.broker, health.database, health.store)
        ]
        readings += [Reading(metrics.BACKEND_UP, (part.name,), part.healthy) for part in health.backends]
        try:
            queues = await self._operations.queues()
            backends = await self._operations.backends()
        except MLHubError:
            return readings
        return [*readings, *_of_queues(queues), *_of_pools(backends)]


def _of_process(pulse: Pulse) -> Iterator[Reading]:
    vitals = pulse.mlhub
    if vitals is None:
        return
    labels = (vitals.kind, vitals.backend)
    yield from vitals.readings
    yield Reading(metrics.STARTED, labels, vitals.started)
    if vitals.memory is not None:
        yield Reading(metrics.MEMORY, labels, vitals.memory)
    if pulse.type != API:
        yield Reading(metrics.ACTIVE, labels, pulse.active)
        yield Reading(metrics.CONCURRENCY, labels, vitals.concurrency)
        yield Reading(metrics.PROCESSED, labels, pulse.processed)


def _of_queues(queues: Sequence[QueueState]) -> Iterator[Reading]:
    for queue in queues:
        labels = (queue.name,)
        yield Reading(metrics.READY, labels, queue.ready)
        yield Reading(metrics.CONSUMERS, labels, queue.consumers)
        if queue.unacknowledged is not None:
            yield Reading(metrics.UNACKNOWLEDGED, labels, queue.unacknowledged)
        if queue.oldest_age is not None:
            yield Reading(metrics.OLDEST, labels, queue.oldest_age)


def _of_pools(backends: list[BackendState]) -> Iterator[Reading]:
    for backend in backends:
        sizes = backend.workers | {kind: pool.actual for kind, pool in backend.pools.items()}
        for kind, size in sizes.items():
            yield Reading(metrics.POOL, (backend.name, kind), size)
        for kind, pool in backend.pools.items():
            yield Reading(metrics.POOL_DESIRED, (backend.name, kind), pool.desired)
