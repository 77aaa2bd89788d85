"""What a server does for its requests: finds, loads and predicts, off the event loop but for quick models."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final

from mlhub.common.oipserver import IndexEntry
from mlhub.servers.folder import ModelFolder
from mlhub.servers.inference import infer
from mlhub.servers.options import RuntimeOptions
from mlhub.servers.pace import Stopwatch, Taken
from mlhub.servers.repository import Deployed, Repository
from mlhub.servers.runtime import Runtime

_PREDICTORS: Final = 2 * (os.cpu_count() or 1)
"""Predictions computed at once: more than cores, so that a slow model leaves room for others."""
_LOADERS: Final = 2
"""Models that are loaded at once."""
_REFRESH: Final = 1.0
"""Seconds between two looks whether loaded models are still on the disk as they were loaded."""


class Serving:
    """The models of one server process."""

    def __init__(self, folder: ModelFolder, runtime: Runtime, options: RuntimeOptions) -> None:
        # Loading has threads of its own: however long it takes, predictions of other models go on.
        self._loaders = ThreadPoolExecutor(_LOADERS, "load")
        self._predictors = ThreadPoolExecutor(_PREDICTORS, "predict")
        self._repository = Repository(folder, runtime, options, self._loaders)
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def platform(self) -> str:
        """Name of the framework of all models."""
        return self._repository.platform

    @property
    def loaded(self) -> int:
        """How many versions are in memory."""
        return self._repository.loaded

    async def infer(
        self, model: str, version: str | None, body: bytes, header_length: int | None
    ) -> tuple[bytes, int | None]:
        """Answer one inference request; see `mlhub.servers.inference.infer`."""
        deployed = self._repository.find(model, version) or await self.deployed(model, version)
        size = len(body)
        if deployed.pace.allows(size):
            answer, taken = _timed(deployed, body, header_length)
        else:
            loop = asyncio.get_running_loop()
            # With its context, so that what is logged there names the requests.
            run = copy_context().run
            answer, taken = await loop.run_in_executor(
                self._predictors, run, _timed, deployed, body, header_length
            )
        deployed.pace.took(taken, size)
        return answer

    async def deployed(self, model: str, version: str | None, *, fresh: bool = False) -> Deployed:
        """Return a version, loaded when it is not; with `fresh`, as it is on the disk at this moment.

        Raises:
            NotFoundError: there is no such model or version.
            UnacceptableError: it cannot be loaded.
        """
        found = None if fresh else self._repository.find(model, version)
        if found is not None:
            return found
        if version is None:
            version = await asyncio.to_thread(self._repository.newest, model)
        # Others may wait for the same load: it goes on when this client goes away.
        return await asyncio.shield(asyncio.wrap_future(self._repository.load(model, version)))

    async def unload(self, model: str, version: str | None) -> None:
        """Drop a version, or all of a model's, from memory."""
        self._repository.unload(model, version)

    async def versions(self, model: str) -> list[str]:
        """Name the versions of a model, newest first."""
        return await asyncio.to_thread(self._repository.versions, model)

    async def index(self) -> list[IndexEntry]:
        """List all versions of all models."""
        return await asyncio.to_thread(self._repository.index)

    async def is_ready(self) -> bool:
        """Tell whether models can be found."""
        return await asyncio.to_thread(self._repository.is_readable)

    async def process_startup(self, scope: object, event: object) -> None:
        """Begin to watch the disk; Falcon calls this when the process starts."""
        del scope, event
        self._refreshing = asyncio.create_task(self._refresh())

    async def process_shutdown(self, scope: object, event: object) -> None:
        """End; Falcon calls this when the process ends."""
        del scope, event
        if self._refreshing is not None:
            self._refreshing.cancel()
        self._loaders.shutdown(wait=False, cancel_futures=True)
        self._predictors.shutdown(wait=False, cancel_futures=True)

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH)
            await asyncio.to_thread(self._repository.refresh)


def _timed(
    deployed: Deployed, body: bytes, header_length: int | None
) -> tuple[tuple[bytes, int | None], Taken]:
    """Answer a request, and tell how long that took."""
    watch = Stopwatch()
    return infer(deployed, body, header_length), watch.read()
