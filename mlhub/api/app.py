"""An API process: the application, and what runs on its event loop besides requests."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

import falcon.asgi

from mlhub.api import problems
from mlhub.api.bodies import BodyWatch
from mlhub.api.composition.addresses import addresses
from mlhub.api.composition.services import Services
from mlhub.api.composition.stores import Stores
from mlhub.api.express import Express, Hub
from mlhub.api.middleware import BearerToken, RequestId
from mlhub.api.operations.service import OperationsService
from mlhub.common.rounds import Rounds
from mlhub.common.settings import Settings
from mlhub.common.tracedapp import RouteNote, TracedApp
from mlhub.common.tracing import Tracing, create_tracing

_THREADS: Final = 16
"""Calls of services at once; each waits for the database or a disk most of its time."""
_UNTRACED: Final = ("/health/", "/v2/health/", "/status", "/metrics", "/monitor", "/pages/")
"""Addresses that are asked again and again, by those who watch."""


class Attendant(Protocol):
    """What an API process runs on its event loop besides its requests."""

    def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End."""


class Lifespan:
    """Starts what an API process runs besides its requests, and ends it."""

    def __init__(
        self, attendants: Sequence[Attendant], indexes: Rounds, operations: OperationsService
    ) -> None:
        self._attendants = attendants
        self._indexes = indexes
        self._operations = operations

    async def process_startup(self, scope: Any, event: Any) -> None:
        """Begin to connect to the broker; the database is tried at its first use."""
        del scope, event
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "service"))
        for attendant in self._attendants:
            attendant.start()
        self._indexes.start()

    async def process_shutdown(self, scope: Any, event: Any) -> None:
        """Close the connections."""
        del scope, event
        for attendant in reversed(self._attendants):
            await attendant.stop()
        await asyncio.to_thread(self._indexes.stop)
        await asyncio.to_thread(self._operations.close)


def create_app(settings: Settings) -> Hub:
    """Build the ASGI application of one API process."""
    tracing = create_tracing("mlhub-api")
    stores = Stores(settings)
    services = Services(stores, settings, tracing)
    request_id = RequestId()
    token = None if settings.token is None else BearerToken(settings.token)
    middleware: list[Any] = [
        request_id,
        services.metering,
        *([token] if token else []),
        *([RouteNote()] if tracing else []),
        Lifespan((services.gateway, services.beat, services.monitor), stores.indexing(), services.operations),
    ]
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App(middleware=middleware)
    problems.add_handlers(app)
    app.req_options.strip_url_path_trailing_slash = True
    for template, resource in addresses(stores, services, settings).items():
        app.add_route(template, resource)
    express = Express(
        services.routes,
        services.gateway,
        request_id,
        token,
        services.metering,
        settings.default_wait,
        tracing,
    )
    return Hub(_traced(BodyWatch(app), tracing), express)


def _traced(app: Any, tracing: Tracing | None) -> Any:
    if tracing is None:
        return app
    return TracedApp(app, tracing, lambda path: not path.startswith(_UNTRACED))
