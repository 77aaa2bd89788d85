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
_SLOW_DATABASE: Final = 5.0
"""Seconds that a route is good for while the database takes its time to say whether it changed."""
_WITHOUT_DATABASE: Final = 300.0
"""Seconds that it is good for while the database is away."""


_Key = tuple[str, str]
"""Names of a model and a version."""


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
    """Remembers routes on the event loop, so that predictions do not ask the database.

    A route in use is looked up again before it is too old, and serves on while the database takes its time:
    whoever waits for a prediction does not wait for that.
    """

    def __init__(
        self, find: Callable[[str, str], Route], ttl: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin without any.

        Args:
            find: looks a route up, and may block.
            ttl: seconds after which a change that another process made is seen, unless the database is slow.
            clock: tells the time in seconds.
        """
        self._find = find
        self._ttl = ttl
        self._clock = clock
        self._routes: dict[_Key, tuple[Route, float]] = {}
        self._lookups: dict[_Key, asyncio.Task[Route]] = {}
        self._is_away = False
        """Whether the last look failed because the database did not answer."""

    async def get(self, name: str, version: str) -> Route:
        """Return the route to a version; it is at most `ttl` seconds old while the database answers quickly.

        Raises:
            NotFoundError: there is no such model or version.
            ConflictError: the version is not ready.
            UnavailableError: the database is away and the route is not known from before.
        """
        return self.known(name, version) or await self._looked_up((name, version))

    def known(self, name: str, version: str) -> Route | None:
        """Return the route to a version when nothing has to be waited for; call it on the event loop."""
        key = (name, version)
        remembered = self._routes.get(key)
        if remembered is None:
            return None
        route, since = remembered
        age = self._clock() - since
        if age < self._ttl / 2:
            return route
        if age >= self._ttl and not self._serves_on(key, age):
            return None
        self._look_up(key)
        return route

    def _serves_on(self, key: _Key, age: float) -> bool:
        """Tell whether a route that is too old is to be used all the same."""
        if self._is_away:
            return age < _WITHOUT_DATABASE
        # Of one that nobody used for a while no look began in time, so it is not known any more.
        return key in self._lookups and age < _SLOW_DATABASE

    def drop(self, name: str) -> None:
        """Forget what is known of a model, since this process changed it."""
        for key in [key for key in self._routes if key[0] == name]:
            del self._routes[key]
        for key in [key for key in self._lookups if key[0] == name]:
            # Its answer may be from before the change.
            del self._lookups[key]

    async def _looked_up(self, key: _Key) -> Route:
        try:
            return await asyncio.shield(self._look_up(key))
        except UnavailableError:
            remembered = self._routes.get(key)
            if remembered is None or self._clock() - remembered[1] > _WITHOUT_DATABASE:
                raise
            return remembered[0]

    def _look_up(self, key: _Key) -> "asyncio.Task[Route]":
        """Begin to look a route up: once for all requests that need it now."""
        task = self._lookups.get(key)
        if task is None:
            task = self._lookups[key] = asyncio.create_task(asyncio.to_thread(self._find, *key))
            task.add_done_callback(lambda done: self._remember(key, done))
        return task

    def _remember(self, key: _Key, task: "asyncio.Task[Route]") -> None:
        current = self._lookups.get(key) is task
        if current:
            del self._lookups[key]
        if task.cancelled():
            return
        error = task.exception()
        self._is_away = isinstance(error, UnavailableError)
        if error is None and current:
            if len(self._routes) >= _MOST:
                del self._routes[next(iter(self._routes))]
            self._routes[key] = (task.result(), self._clock())
        elif isinstance(error, NotFoundError | ConflictError):
            self._routes.pop(key, None)
