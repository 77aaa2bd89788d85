"""`/health/live`, `/health/ready` and `/status`: how the hub is."""

import time
from collections.abc import Sequence

import falcon.asgi

from mlhub.api.responses import send
from mlhub.api.services.health import HealthService, Part
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
            raise UnavailableError(_sentence(missing), code="not_ready")
        send(resp, {"ready": True})


class StatusResource:
    """Every part, well or not."""

    def __init__(self, health: HealthService) -> None:
        self._health = health

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Show all of them; the answer is 200 also when some are not well."""
        del req
        health = await self._health.look()
        versions = await self._health.versions(health)
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


def _sentence(missing: Sequence[Part]) -> str:
    """Name the parts that are missing; those that lack the same, together."""
    named: dict[str, list[str]] = {}
    for part in missing:
        named.setdefault(part.detail, []).append(part.name)
    told = "; ".join(f"{', '.join(names)}: {detail.removesuffix('.')}" for detail, names in named.items())
    return f"The hub is not ready: {told}."
