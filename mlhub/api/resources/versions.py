"""`/model/{name}/versions`: the versions of an entry."""

import asyncio

import falcon.asgi

from mlhub.api import representation
from mlhub.api.gateway.gateway import Gateway
from mlhub.api.resources.models import announce_removals
from mlhub.api.responses import send, send_entity
from mlhub.api.services.models import ModelService
from mlhub.api.services.routes import RouteCache


class VersionsResource:
    """All versions, newest first."""

    def __init__(self, models: ModelService) -> None:
        self._models = models

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """List them."""
        del req
        entry = await asyncio.to_thread(self._models.get, name)
        send(resp, [representation.version(version) for version in entry.versions])


class VersionResource:
    """One version."""

    def __init__(self, models: ModelService, routes: RouteCache, gateway: Gateway) -> None:
        self._models = models
        self._routes = routes
        self._gateway = gateway

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str, version: str
    ) -> None:
        """Show it."""
        found = await asyncio.to_thread(self._models.version, name, version)
        send_entity(req, resp, {"model": name, **representation.version(found)})

    async def on_delete(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str, version: str
    ) -> None:
        """Remove it."""
        del req
        removed = await asyncio.to_thread(self._models.delete_version, name, version)
        self._routes.drop(name)
        await announce_removals(self._gateway, removed)
        resp.status = 204
