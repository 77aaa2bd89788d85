"""Health: what the hub's parts say of themselves when they are asked."""

import asyncio
import contextlib
import platform
import time
from collections.abc import Awaitable, Callable
from importlib import metadata
from typing import Final

import msgspec

import mlhub
from mlhub.api.gateway.gateway import Gateway
from mlhub.common.errors import MLHubError, UnavailableError

_WAIT: Final = 4.0
"""Seconds a part has for its answer: a busy one takes its time, and whoever asks does not have much more."""
LONGEST: Final = _WAIT + 1
"""Seconds within which a look at all parts is over, whatever they do."""


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


class _Question:
    """Asks one part, in a thread; while it gives no answer it is not asked again."""

    def __init__(self, name: str, check: Callable[[], None]) -> None:
        self._name = name
        self._check = check
        self._asked: asyncio.Task[None] | None = None

    async def ask(self) -> Part:
        """Return how it is; one that takes too long is not well."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(asyncio.to_thread(self._check))
            # Whoever asked may have gone by then.
            self._asked.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
        asked = self._asked
        await asyncio.wait((asked,), timeout=_WAIT)
        if asked.done():
            return await _told(self._name, asked)
        return Part(self._name, healthy=False, detail=f"It did not answer within {_WAIT:g} seconds.")


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
        self._database = _Question("database", check_database)
        self._store = _Question("store", check_store)
        self._database_version = database_version
        self._backends = backends
        self.started = time.monotonic()

    async def look(self) -> Health:
        """Return how all parts are now."""
        database, store, *backends = await asyncio.gather(
            self._database.ask(),
            self._store.ask(),
            *(_told(name, self._probe(name)) for name in self._backends),
        )
        away = "" if self._gateway.reachable else "RabbitMQ does not answer, or takes no messages."
        return Health(Part("broker", not away, away), database, store, tuple(backends))

    async def versions(self, health: Health) -> Versions:
        """Return what the hub is made of; a part that is not well is not asked."""
        database = None
        if health.database.healthy:
            with contextlib.suppress(MLHubError):
                database = await asyncio.to_thread(self._database_version)
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


async def _told(name: str, answer: Awaitable[None]) -> Part:
    try:
        await answer
    except MLHubError as error:
        return Part(name, healthy=False, detail=error.detail)
    return Part(name, healthy=True)
