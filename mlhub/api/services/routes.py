"""Routes: where predictions for a version of a model go, remembered for a moment."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import msgspec

from mlhub.common import names
from mlhub.common.errors import ConflictError, NotFoundError, UnavailableError
from mlhub.common.image import ImageSpec
from mlhub.common.model import VersionState
from mlhub.common.signature import Signature
from mlhub.storage.models import ModelStore
from mlhub.storage.versions import VersionStore

_MOST: Final = 10_000
"""Routes remembered; names that nobody has cannot fill the memory, since only found ones are kept."""
_WITHOUT_DATABASE: Final = 300.0
"""Seconds that a route is good for while the database is away."""


class Route(msgspec.Struct, frozen=True):
    """What a prediction needs to know of a version."""

    model: str
    version: str
    backend: str
    deployment: str
    signature: Signature
    labels: tuple[str, ...]
    image: ImageSpec | None = None
    """What the bundle says of pictures."""


class RouteService:
    """Looks routes up in the database."""

    def __init__(self, models: ModelStore, versions: VersionStore) -> None:
        self._models = models
        self._versions = versions

    def find(self, name: str, version: str) -> Route:
        """Return the route to a version.

        Raises:
            NotFoundError: there is no such model or version.
            ConflictError: the version is there but not ready.
        """
        model = self._models.get(names.check_model(name))
        if version == names.LATEST:
            if model.version is None:
                raise ConflictError(
                    f"The model {name!r} has no ready version; it is {model.state}.", code="not_ready"
                )
            version = model.version
        found = self._versions.get(name, names.check_version(version))
        if found.state is not VersionState.READY or found.signature is None or found.backend is None:
            raise ConflictError(
                f"Version {version!r} of {name!r} is not ready; it is {found.state}.", code="not_ready"
            )
        return Route(
            name, version, found.backend, found.deployment, found.signature, found.labels, found.image
        )


class RouteCache:
    """Remembers routes on the event loop, so that predictions do not ask the database."""

    def __init__(self, find: Callable[[str, str], Route], ttl: float) -> None:
        self._find = find
        self._ttl = ttl
        self._routes: dict[tuple[str, str], tuple[Route, float]] = {}
        self._lookups: dict[tuple[str, str], asyncio.Task[Route]] = {}

    async def get(self, name: str, version: str) -> Route:
        """Return the route to a version; it is at most `ttl` seconds old while the database answers.

        Raises:
            NotFoundError: there is no such model or version.
            ConflictError: the version is not ready.
            UnavailableError: the database is away and the route is not known from before.
        """
        return self.known(name, version) or await self._look_up(name, version)

    def known(self, name: str, version: str) -> Route | None:
        """Return the route to a version when nothing has to be asked for it."""
        known = self._routes.get((name, version))
        if known is not None and time.monotonic() - known[1] < self._ttl:
            return known[0]
        return None

    def drop(self, name: str) -> None:
        """Forget what is known of a model, since this process changed it."""
        for key in [key for key in self._routes if key[0] == name]:
            del self._routes[key]
        for key in [key for key in self._lookups if key[0] == name]:
            # Its answer may be from before the change.
            del self._lookups[key]

    async def _look_up(self, name: str, version: str) -> Route:
        key = (name, version)
        task = self._lookups.get(key)
        if task is None:
            # One look for all requests that need it now.
            task = self._lookups[key] = asyncio.create_task(asyncio.to_thread(self._find, name, version))
            task.add_done_callback(lambda done: self._remember(key, done))
        try:
            return await asyncio.shield(task)
        except UnavailableError:
            known = self._routes.get(key)
            if known is None or time.monotonic() - known[1] > _WITHOUT_DATABASE:
                raise
            return known[0]

    def _remember(self, key: tuple[str, str], task: "asyncio.Task[Route]") -> None:
        current = self._lookups.get(key) is task
        if current:
            del self._lookups[key]
        if task.cancelled():
            return
        error = task.exception()
        if error is None and current:
            if len(self._routes) >= _MOST:
                del self._routes[next(iter(self._routes))]
            self._routes[key] = (task.result(), time.monotonic())
        elif isinstance(error, NotFoundError | ConflictError):
            self._routes.pop(key, None)
