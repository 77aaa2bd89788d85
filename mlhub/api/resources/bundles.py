"""`/model/{name}/upload` and `/download`: bundles in and out, with flat memory."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import BinaryIO, Final

import falcon.asgi

from mlhub.api import representation
from mlhub.api.bodies import chunks
from mlhub.api.gateway.gateway import Gateway
from mlhub.api.preferences import preferences
from mlhub.api.responses import has_tag, send
from mlhub.api.services.models import ModelService
from mlhub.api.services.uploads import UploadService
from mlhub.api.waiting import until
from mlhub.common import topology
from mlhub.common.errors import UnacceptableError, UnsupportedMediaError
from mlhub.common.model import Version, VersionState
from mlhub.common.names import LATEST
from mlhub.common.settings import Settings
from mlhub.storage.bundles import BundleStore, BundleWriter

_PIECE: Final = 1024 * 1024
"""Bytes handed to a thread at once: enough that the hand-over costs next to nothing."""
_RAW: Final = frozenset(
    {
        "application/octet-stream",
        "application/gzip",
        "application/x-gzip",
        "application/x-tar",
        "application/zip",
        "application/x-www-form-urlencoded",
    }
)
"""Types of a raw body; the last one is what `curl --data-binary` says unless it is told better."""


class UploadResource:
    """The way in."""

    def __init__(
        self, uploads: UploadService, models: ModelService, gateway: Gateway, settings: Settings
    ) -> None:
        self._uploads = uploads
        self._models = models
        self._gateway = gateway
        self._max_bytes = settings.max_bundle_bytes
        self._max_wait = settings.max_wait

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """Keep the body as a new version, and have it validated."""
        _require_raw(req)
        prefer = preferences(req, self._max_wait)
        wanted = req.get_param("version")
        writer = await asyncio.to_thread(self._uploads.begin, name, wanted)
        try:
            await self._receive(req, writer)
            uploaded = await asyncio.to_thread(self._uploads.finish, name, wanted, writer)
        finally:
            await asyncio.to_thread(writer.abort)
        version = uploaded.version
        resp.set_header("Location", f"/model/{name}/versions/{version.version}")
        if not uploaded.created:
            send(resp, _shown(version))
            return
        if version.state is VersionState.VALIDATING and version.backend is not None:
            await self._gateway.publish_job(topology.JOB_VALIDATE, version.deployment, version.backend)
        if prefer.wait is not None:
            look = partial(self._models.version, name, version.version)
            version = await until(look, _validated, prefer.wait)
            await asyncio.to_thread(self._uploads.settle, name)
            resp.set_header("Preference-Applied", f"wait={prefer.wait:g}")
        if version.state is VersionState.FAILED and prefer.wait is not None:
            raise UnacceptableError(
                f"Version {version.version!r} of {name!r} is no good: {version.error}",
                code="validation_failed",
            )
        send(resp, _shown(version), 201 if version.state is VersionState.READY else 202)

    async def _receive(self, req: falcon.asgi.Request, writer: BundleWriter) -> None:
        piece = bytearray()
        async for chunk in chunks(req, self._max_bytes):
            piece += chunk
            if len(piece) >= _PIECE:
                await asyncio.to_thread(writer.write, bytes(piece))
                piece.clear()
        if piece:
            await asyncio.to_thread(writer.write, bytes(piece))


class DownloadResource:
    """The way out: the very bytes that came in."""

    def __init__(self, models: ModelService, bundles: BundleStore) -> None:
        self._models = models
        self._bundles = bundles

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str, version: str | None = None
    ) -> None:
        """Send a version's bundle; of the latest one unless another is named."""
        wanted = version or req.get_param("version") or LATEST
        found = await asyncio.to_thread(self._models.bundle, name, wanted)
        bundle = found.bundle
        resp.set_header("ETag", f'"{bundle.sha256}"')
        if has_tag(req.get_header("If-None-Match"), bundle.sha256):
            resp.status = 304
            return
        file = await asyncio.to_thread(self._bundles.open, bundle.key)
        resp.content_type = "application/octet-stream"
        resp.content_length = bundle.size
        resp.set_header("Content-Disposition", f'attachment; filename="{bundle.filename}"')
        resp.stream = _pieces(file)


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    try:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece
    finally:
        file.close()


def _require_raw(req: falcon.asgi.Request) -> None:
    kind = (req.content_type or "application/octet-stream").partition(";")[0].strip().lower()
    if kind not in _RAW:
        raise UnsupportedMediaError(
            f"A bundle is sent as a raw body, not as {kind}; use 'content-type: application/octet-stream'."
        )


def _validated(version: Version) -> bool:
    return version.state is not VersionState.VALIDATING


def _shown(version: Version) -> dict[str, object]:
    return {"model": version.model, **representation.version(version)}
