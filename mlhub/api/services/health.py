"""Health: what the hub's parts say of themselves when they are asked."""

import asyncio
import platform
import time
from collections.abc import Awaitable, Callable
from importlib import metadata
from typing import Final

import msgspec

import mlhub
from mlhub.api.gateway.gateway import Gateway
from mlhub.common.errors import MLHubError, UnavailableError

_WAIT: Final = 2.0
"""Seconds a part has for its answer."""


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one part is."""

    name: str
    healthy: bool
    detail: str = ""
    """What is wrong, when it is not well."""


class Versions(msgspec.Struct, frozen=True):
    """What the hub is made of."""

    mlhub: str
    python: str
    falcon: str
    celery: str
    broker: str | None
    """Name and version of the broker, while it is connected."""
    database: str | None
    """Version of the database, or of MongoDB that it stands in for."""


class Health(msgspec.Struct, frozen=True):
    """How all parts are."""

    broker: Part
    database: Part
    store: Part
    backends: tuple[Part, ...]

    @property
    def missing(self) -> list[Part]:
        """The parts without which the hub cannot do its work; one working backend is enough."""
        missing = [part for part in (self.broker, self.database, self.store) if not part.healthy]
        if not any(backend.healthy for backend in self.backends):
            missing += self.backends
        return missing


class HealthService:
    """Asks every part, all at once."""

    def __init__(
        self,
        gateway: Gateway,
        check_database: Callable[[], None],
        check_store: Callable[[], None],
        database_version: Callable[[], str],
        backends: tuple[str, ...],
    ) -> None:
        self._gateway = gateway
        self._check_database = check_database
        self._check_store = check_store
        self._database_version = database_version
        self._backends = backends
        self.started = time.monotonic()

    async def look(self) -> Health:
        """Return how all parts are now."""
        database, store, *backends = await asyncio.gather(
            _ask("database", asyncio.to_thread(self._check_database)),
            _ask("store", asyncio.to_thread(self._check_store)),
            *(_ask(name, self._probe(name)) for name in self._backends),
        )
        away = "" if self._gateway.reachable else "RabbitMQ does not answer, or takes no messages."
        return Health(Part("broker", not away, away), database, store, tuple(backends))

    async def versions(self) -> Versions:
        """Return what the hub is made of."""
        try:
            database = await asyncio.to_thread(self._database_version)
        except MLHubError:
            database = None
        return Versions(
            mlhub=mlhub.__version__,
            python=platform.python_version(),
            falcon=metadata.version("falcon"),
            celery=metadata.version("celery"),
            broker=self._gateway.product,
            database=database,
        )

    async def _probe(self, backend: str) -> None:
        probe = await self._gateway.probe(backend, _WAIT)
        if not probe.healthy:
            raise UnavailableError(probe.detail)


async def _ask(name: str, answer: Awaitable[None]) -> Part:
    try:
        await answer
    except MLHubError as error:
        return Part(name, healthy=False, detail=error.detail)
    return Part(name, healthy=True)
