"""`/metrics`: all numbers of the hub, for Prometheus."""

import asyncio

import falcon.asgi

from mlhub.api.operations.metrics import MetricsService
from mlhub.common.exposition import expose


class MetricsResource:
    """What Prometheus reads."""

    def __init__(self, metrics: MetricsService) -> None:
        self._metrics = metrics

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Write them, in OpenMetrics' format where that is preferred."""
        readings = await self._metrics.gather()
        # Much text takes its time, in which others are served.
        resp.data, resp.content_type = await asyncio.to_thread(expose, readings, req.accept)
        resp.set_header("Cache-Control", "no-store")
