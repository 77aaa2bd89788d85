"""`/model/{name}/export` and `/import`: entries with all their versions, as one file."""

import asyncio
from collections.abc import AsyncIterator

import falcon.asgi

from mlhub.api import exports, representation
from mlhub.api.bodies import chunks
from mlhub.api.exports import Splitter
from mlhub.api.gateway.gateway import Gateway
from mlhub.api.multipart import FormLimits, is_form, parts
from mlhub.api.resources.models import announce_removals
from mlhub.api.responses import send
from mlhub.api.services.exchange import ExchangeService
from mlhub.common import topology
from mlhub.common.errors import MLHubError, UnacceptableError
from mlhub.common.export import MEDIA_TYPE, ExportedVersion, Manifest
from mlhub.common.model import VersionState
from mlhub.common.names import check_model


class ExportResource:
    """The way out."""

    def __init__(self, exchange: ExchangeService) -> None:
        self._exchange = exchange

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """Send the entry with all its versions."""
        del req
        found = await asyncio.to_thread(self._exchange.export, name)
        manifest = exports.encode(found.manifest)
        versions = found.manifest.versions
        resp.content_type = MEDIA_TYPE
        resp.content_length = exports.length(manifest, versions)
        resp.set_header("Content-Disposition", f'attachment; filename="{name}.mlhub.tar"')
        resp.stream = exports.written(
            manifest, versions, lambda place: self._exchange.open(found.versions[place])
        )


class ImportResource:
    """The way in."""

    def __init__(
        self, exchange: ExchangeService, gateway: Gateway, max_bytes: int, max_manifest: int
    ) -> None:
        self._exchange = exchange
        self._gateway = gateway
        self._max_bytes = max_bytes
        self._max_manifest = max_manifest

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Take an export in, the body or a form's file: all of it, or nothing."""
        name = req.get_param("name")
        if not is_form(req):
            await self._take_in(resp, chunks(req, self._max_bytes), name)
            return
        is_taken = False
        async for part in parts(req, FormLimits(body=self._max_bytes)):
            if part.is_file and not is_taken:
                await self._take_in(resp, part.pieces(), name)
                is_taken = True
            elif part.name == "name":
                name = await part.text()
        if not is_taken:
            raise UnacceptableError(
                "The form has no export: send it as a file in the part 'file', after the field 'name'.",
                code="missing_file",
            )

    async def _take_in(
        self, resp: falcon.asgi.Response, content: AsyncIterator[bytes], given: str | None
    ) -> None:
        splitter = Splitter(content)
        manifest = await splitter.manifest(self._max_manifest)
        name = check_model(given or manifest.model)
        is_new = await asyncio.to_thread(self._exchange.begin, manifest, name)
        try:
            await self._receive(splitter, manifest, name)
        except (MLHubError, asyncio.CancelledError):
            if is_new:
                await announce_removals(self._gateway, await asyncio.to_thread(self._exchange.undo, name))
            raise
        resp.set_header("Location", f"/model/{name}")
        entry = await asyncio.to_thread(self._exchange.entry, name)
        send(resp, representation.entry(entry), 201 if is_new else 200)

    async def _receive(self, splitter: Splitter, manifest: Manifest, name: str) -> None:
        for item in manifest.versions:
            await self._take(splitter, item, name)

    async def _take(self, splitter: Splitter, item: ExportedVersion, name: str) -> None:
        writer = await asyncio.to_thread(self._exchange.writer, name, item)
        try:
            async for piece in splitter.bundle(item):
                await asyncio.to_thread(writer.write, piece)
            uploaded = await asyncio.to_thread(self._exchange.finish, name, item, writer)
        finally:
            await asyncio.to_thread(writer.abort)
        version = uploaded.version
        if uploaded.created and version.state is VersionState.VALIDATING and version.backend is not None:
            await self._gateway.publish_job(topology.JOB_VALIDATE, version.deployment, version.backend)
