"""`/metrics` of a model server: what this process counted, for Prometheus."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import falcon.asgi

from mlhub.common import metrics, pulse
from mlhub.common.exposition import Readings, expose
from mlhub.common.tally import Reading, Tally

_KIND: Final = "server"
_WELL: Final = "ok"
_FAILED: Final = "failed"


class MetricsResource:
    """What Prometheus reads; of several processes behind one port, one answers."""

    def __init__(self, tally: Tally, platform: str) -> None:
        self._tally = tally
        self._platform = platform

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Write them."""
        labels = (_KIND, self._platform)
        readings = [*self._tally.read(), Reading(metrics.STARTED, labels, pulse.STARTED)]
        memory = pulse.memory()
        if memory is not None:
            readings.append(Reading(metrics.MEMORY, labels, memory))
        name = f"server.{self._platform}.{os.getpid()}@{socket.gethostname()}"
        resp.data, resp.content_type = expose(Readings({name: readings}), req.accept)


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
