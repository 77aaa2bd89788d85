"""The models of a server: found on the disk, loaded at their first use, kept while there is memory."""

import logging
import threading
from concurrent.futures import Executor, Future
from contextvars import copy_context

import msgspec

from mlhub.common.errors import NotFoundError, UnacceptableError
from mlhub.common.oipserver import IndexEntry
from mlhub.servers.cache import Key, ModelCache
from mlhub.servers.folder import ModelFolder, Stamp
from mlhub.servers.options import RuntimeOptions
from mlhub.servers.pace import Pace
from mlhub.servers.runtime import LoadedModel, Runtime

_LOG = logging.getLogger(__name__)


class Deployed(msgspec.Struct, frozen=True):
    """One version of a model, ready to predict. It stays usable after it was evicted."""

    model: str
    version: str
    loaded: LoadedModel
    stamp: Stamp
    """What its files were when it was loaded."""
    pace: Pace = msgspec.field(default_factory=Pace)
    """How quick it is."""


class Repository:
    """Loads versions side by side. Loading happens in threads of its own, each version once at a time."""

    def __init__(
        self, folder: ModelFolder, runtime: Runtime, options: RuntimeOptions, loaders: Executor
    ) -> None:
        self._folder = folder
        self._runtime = runtime
        self._max_memory = options.max_memory
        self._cache: ModelCache[Deployed] = ModelCache(options.max_memory)
        self._loaders = loaders
        self._lock = threading.Lock()
        self._loading: dict[Key, Future[Deployed]] = {}
        self._newest: dict[str, str] = {}
        """Newest versions of models that were asked for without a version; `refresh` keeps them true."""

    @property
    def loaded(self) -> int:
        """How many versions are in memory."""
        return len(self._cache)

    @property
    def platform(self) -> str:
        """Name of the framework of all its models."""
        return self._runtime.platform

    def is_readable(self) -> bool:
        """Tell whether the folder of the repository can be read. Looks at the disk."""
        return self._folder.exists()

    def find(self, model: str, version: str | None) -> Deployed | None:
        """Return a version if it is in memory, the newest when none is named. Never waits."""
        if version is None:
            version = self._newest.get(model)
        return None if version is None else self._cache.get((model, version))

    def versions(self, model: str) -> list[str]:
        """Name the versions of a model, newest first. Looks at the disk.

        Raises:
            NotFoundError: there is no such model.
        """
        return self._folder.versions(model)

    def newest(self, model: str) -> str:
        """Name the newest version of a model. Looks at the disk.

        Raises:
            NotFoundError: there is no such model.
        """
        version = self._folder.versions(model)[0]
        self._newest[model] = version
        return version

    def load(self, model: str, version: str) -> "Future[Deployed]":
        """Begin to load a version, or join in when it is being loaded; one as on the disk is kept.

        The future raises `NotFoundError`, or `UnacceptableError` with the reason why it cannot be loaded.
        Nobody may cancel it, since others may wait for it too.
        """
        key = (model, version)
        with self._lock:
            future = self._loading.get(key)
            if future is None:
                # With its context, so that what is logged there names the requests.
                future = self._loading[key] = self._loaders.submit(copy_context().run, self._load, key)
            return future

    def unload(self, model: str, version: str | None) -> None:
        """Drop a version from memory, or all of a model's; it loads again when it is asked for."""
        for key, deployed in self._cache.items():
            if key[0] == model and version in (None, key[1]):
                self._cache.discard(key, deployed)
                _LOG.info("unloaded %s version %s", *key)

    def index(self) -> list[IndexEntry]:
        """List all versions of all models with their states. Looks at the disk."""
        ready = {key for key, _ in self._cache.items()}
        loading = set(self._loading)
        listed = []
        for model in self._folder.models():
            for version in self._versions(model):
                key = (model, version)
                if key in ready:
                    listed.append(IndexEntry(model, version, "READY"))
                elif key in loading:
                    listed.append(IndexEntry(model, version, "LOADING"))
                else:
                    listed.append(IndexEntry(model, version, "UNAVAILABLE", "It loads at its first use."))
        return listed

    def refresh(self) -> None:
        """Drop from memory what is no longer on the disk as it was loaded. Looks at the disk."""
        for key, deployed in self._cache.items():
            if self._folder.stamp(*key) != deployed.stamp and self._cache.discard(key, deployed):
                _LOG.info("dropped %s version %s: its files changed or are gone", *key)
        for model in list(self._newest):
            versions = self._versions(model)
            if versions:
                self._newest[model] = versions[0]
            else:
                self._newest.pop(model, None)

    def _versions(self, model: str) -> list[str]:
        try:
            return self._folder.versions(model)
        except NotFoundError:
            return []

    def _load(self, key: Key) -> Deployed:
        try:
            bundle = self._folder.bundle(*key)
            current = self._cache.get(key)
            if current is not None and current.stamp == bundle.stamp:
                return current
            self._check_size(bundle.size)
            self._log_evicted(self._cache.make_room(key, bundle.size), key)
            loaded = self._runtime.load(bundle.root)
            self._check_size(loaded.size_bytes)
            deployed = Deployed(*key, loaded, bundle.stamp)
            self._log_evicted(self._cache.put(key, deployed, loaded.size_bytes), key)
            _LOG.info("loaded %s version %s, %d bytes; %d in use", *key, loaded.size_bytes, self._cache.used)
            return deployed
        finally:
            self._cache.release(key)
            with self._lock:
                del self._loading[key]

    def _check_size(self, size: int) -> None:
        if size > self._max_memory:
            raise UnacceptableError(
                f"The model takes {size} bytes of memory; this server has {self._max_memory} for models.",
                code="model_too_large",
            )

    @staticmethod
    def _log_evicted(evicted: list[Key], key: Key) -> None:
        for gone in evicted:
            _LOG.info("evicted %s version %s for %s version %s", *gone, *key)
