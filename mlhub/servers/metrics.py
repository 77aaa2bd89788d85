"""`/metrics` of a model server: what its processes counted, for Prometheus."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import falcon.asgi

from mlhub.common import metrics, pulse
from mlhub.common.exposition import Readings, expose
from mlhub.common.tally import Reading, Tally
from mlhub.common.tracing import Kind, Tracing, spanning
from mlhub.servers.siblings import Siblings

KIND: Final = "server"
_WELL: Final = "ok"
_FAILED: Final = "failed"


class MetricsResource:
    """What Prometheus reads: the numbers of all processes, whichever is asked."""

    def __init__(self, siblings: Siblings) -> None:
        self._siblings = siblings

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Write them."""
        processes = await asyncio.to_thread(self._siblings.all)
        resp.data, resp.content_type = expose(Readings(processes), req.accept)


def vitals(platform: str) -> list[Reading]:
    """Return what there is to know of a process besides what it counts."""
    labels = (KIND, platform)
    readings = [Reading(metrics.STARTED, labels, pulse.STARTED)]
    memory = pulse.memory()
    if memory is not None:
        readings.append(Reading(metrics.MEMORY, labels, memory))
    return readings


class InferenceMeter:
    """Counts inference requests."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._times = tally.histogram(metrics.SERVER_TIME)

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Count a request and the time that the block takes."""
        started = time.perf_counter()
        outcome = _FAILED
        try:
            yield
            outcome = _WELL
        finally:
            self._tally.count(metrics.SERVER_REQUESTS, outcome).value += 1
            self._times.observe(time.perf_counter() - started)


class TracedMeter(InferenceMeter):
    """Counts them, and makes a span of what each takes without its way here."""

    def __init__(self, tally: Tally, tracing: Tracing) -> None:
        super().__init__(tally)
        self._tracing = tracing

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Count a request, and have a span of it."""
        with spanning(self._tracing, "inference", Kind.INTERNAL, {}), super().measured():
            yield
