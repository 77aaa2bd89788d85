"""`/health/live`, `/health/ready` and `/status`: how the hub is."""

import asyncio
import time

import falcon.asgi

from mlhub.api.responses import send
from mlhub.api.services.health import HealthService
from mlhub.common.errors import UnavailableError


class LiveResource:
    """Whether this process answers at all."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Say so."""
        del req
        send(resp, {"live": True})


class ReadyResource:
    """Whether the hub can do its work."""

    def __init__(self, health: HealthService) -> None:
        self._health = health

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Name the parts that are missing, if any is."""
        del req
        missing = (await self._health.look()).missing
        if missing:
            named = "; ".join(f"{part.name}: {part.detail}" for part in missing)
            raise UnavailableError(f"The hub is not ready: {named}", code="not_ready")
        send(resp, {"ready": True})


class StatusResource:
    """Every part, well or not."""

    def __init__(self, health: HealthService) -> None:
        self._health = health

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Show all of them; the answer is 200 also when some are not well."""
        del req
        health, versions = await asyncio.gather(self._health.look(), self._health.versions())
        send(
            resp,
            {
                "version": versions.mlhub,
                "python": versions.python,
                "versions": versions,
                "uptime": round(time.monotonic() - self._health.started, 1),
                "ready": not health.missing,
                "broker": health.broker,
                "database": health.database,
                "store": health.store,
                "backends": health.backends,
            },
        )
