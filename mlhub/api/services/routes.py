"""Routes: where predictions for a version of a model go, remembered for a moment."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import msgspec

from mlhub.api.gathering import GatheredReads
from mlhub.api.services.configured import not_configured
from mlhub.common import names
from mlhub.common.errors import (
    ConflictError,
    MLHubError,
    NotFoundError,
    UnacceptableError,
    UnavailableError,
)
from mlhub.common.image import ImageSpec
from mlhub.common.model import Model, Version, VersionState
from mlhub.common.signature import Signature
from mlhub.storage.models import ModelStore, missing
from mlhub.storage.versions import VersionStore, no_version

_MOST: Final = 10_000
"""Routes remembered; names that nobody has cannot fill the memory, since only found ones are kept."""
_SLOW_DATABASE: Final = 5.0
"""Seconds that a route is good for while the database takes its time to say whether it changed."""
_WITHOUT_DATABASE: Final = 300.0
"""Seconds that it is good for while the database is away."""

Key = tuple[str, str]
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

    def __init__(self, models: ModelStore, versions: VersionStore, configured: Collection[str]) -> None:
        """Remember where to look.

        Args:
            models: all entries.
            versions: all versions.
            configured: names of the backends that predictions can go to.
        """
        self._models = models
        self._versions = versions
        self._configured = configured

    def find(self, keys: Sequence[Key]) -> list[Route | MLHubError]:
        """Return the routes to versions, in order; in place of one that there is not, why.

        That is a `NotFoundError` when there is no such model or version, a `ConflictError` when the version
        is there but not ready, a `NotConfiguredError` when its backend was taken out of the settings, an
        `UnacceptableError` when nothing can have such a name.

        Raises:
            UnavailableError: the database is away.
        """
        # First: a name that no database takes must not fail the others.
        checked = [_checked(*key) for key in keys]
        models = self._models.several(name for name, _ in _good(checked))
        named = [key if isinstance(key, MLHubError) else _named(models, *key) for key in checked]
        versions = self._versions.several(_good(named))
        return [key if isinstance(key, MLHubError) else self._route(versions, *key) for key in named]

    def _route(self, versions: Mapping[Key, Version], name: str, version: str) -> Route | MLHubError:
        found = versions.get((name, version))
        if found is None:
            return no_version(name, version)
        if found.state is not VersionState.READY or found.signature is None or found.backend is None:
            return ConflictError(
                f"Version {version!r} of {name!r} is not ready; it is {found.state}.", code="not_ready"
            )
        if found.backend not in self._configured:
            return not_configured(name, found.backend, self._configured)
        return Route(
            name, version, found.backend, found.deployment, found.signature, found.labels, found.image
        )


def _good(keys: Sequence[Key | MLHubError]) -> list[Key]:
    return [key for key in keys if not isinstance(key, MLHubError)]


def _checked(name: str, version: str) -> Key | MLHubError:
    try:
        names.check_model(name)
        return name, version if version == names.LATEST else names.check_version(version)
    except UnacceptableError as error:
        return error


def _named(models: Mapping[str, Model], name: str, version: str) -> Key | MLHubError:
    """Return which version is meant."""
    model = models.get(name)
    if model is None:
        return missing(name)
    if version != names.LATEST:
        return name, version
    if model.version is None:
        return ConflictError(
            f"The model {name!r} has no ready version; it is {model.state}.", code="not_ready"
        )
    return name, model.version


class RouteCache:
    """Remembers routes on the event loop, so that predictions do not ask the database.

    A route in use is looked up again before it is too old, and serves on while the database takes its time:
    whoever waits for a prediction does not wait for that.
    """

    def __init__(
        self,
        find: Callable[[Sequence[Key]], Sequence[Route | MLHubError]],
        ttl: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin without any.

        Args:
            find: looks routes up, and may block; gives an error for one that there is not.
            ttl: seconds after which a change that another process made is seen, unless the database is slow.
            clock: tells the time in seconds.
        """
        # With a thousand models in use, each by itself costs more than all the rest of a prediction.
        self._find: GatheredReads[Key, Route] = GatheredReads(find)
        self._ttl = ttl
        self._clock = clock
        self._routes: dict[Key, tuple[Route, float]] = {}
        self._lookups: dict[Key, asyncio.Task[Route]] = {}
        self._is_away = False
        """Whether the last look failed because the database did not answer."""

    async def get(self, name: str, version: str) -> Route:
        """Return the route to a version; it is at most `ttl` seconds old while the database answers quickly.

        Raises:
            NotFoundError: there is no such model or version.
            ConflictError: the version is not ready, or its backend not configured any more.
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

    def _serves_on(self, key: Key, age: float) -> bool:
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

    async def _looked_up(self, key: Key) -> Route:
        try:
            return await asyncio.shield(self._look_up(key))
        except UnavailableError:
            remembered = self._routes.get(key)
            if remembered is None or self._clock() - remembered[1] > _WITHOUT_DATABASE:
                raise
            return remembered[0]

    def _look_up(self, key: Key) -> "asyncio.Task[Route]":
        """Begin to look a route up: once for all requests that need it now."""
        task = self._lookups.get(key)
        if task is None:
            task = self._lookups[key] = asyncio.create_task(self._find.get(key))
            task.add_done_callback(lambda done: self._remember(key, done))
        return task

    def _remember(self, key: Key, task: "asyncio.Task[Route]") -> None:
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
