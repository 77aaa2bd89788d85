"""`/uploads`: resumable uploads by the tus protocol, version 1.0 (https://tus.io/protocols/resumable-upload)."""

import asyncio
import base64
import binascii
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Final

import falcon.asgi

from mlhub.api import representation
from mlhub.api.bodies import chunks
from mlhub.api.digests import Digests, mismatch
from mlhub.api.form import FormFields
from mlhub.api.intake import Intake
from mlhub.api.publication import Publication
from mlhub.api.responses import send
from mlhub.api.services.models import ModelFields
from mlhub.api.services.resumable import ResumableService
from mlhub.common.errors import (
    MalformedError,
    PreconditionFailedError,
    UnsupportedMediaError,
)
from mlhub.storage.bundles import BundleWriter
from mlhub.storage.uploads import Upload

_VERSION: Final = "1.0.0"
_TYPE: Final = "application/offset+octet-stream"
_IGNORED: Final = frozenset({"filename", "filetype", "name"})
"""Metadata that clients send by themselves."""
_HIGHEST: Final = 10**15


class UploadsResource:
    """Where resumable uploads begin."""

    def __init__(self, uploads: ResumableService, max_bytes: int) -> None:
        self._uploads = uploads
        self._max_bytes = max_bytes

    async def on_options(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Tell what the server can do."""
        del req
        resp.status = 204
        resp.set_headers(
            {
                "Allow": "OPTIONS, POST",
                "Tus-Resumable": _VERSION,
                "Tus-Version": _VERSION,
                "Tus-Extension": "creation,expiration,termination",
                "Tus-Max-Size": str(self._max_bytes),
            }
        )

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Begin an upload."""
        _agree(req, resp)
        length = _number(req, "Upload-Length")
        header = req.get_header("Upload-Metadata") or ""
        upload = await asyncio.to_thread(self._uploads.create, _metadata(header), length, header)
        resp.set_header("Location", f"/uploads/{upload.id}")
        _describe(resp, upload)
        send(resp, _shown(upload, None), 201)


class ResumableUploadResource:
    """One upload."""

    def __init__(self, uploads: ResumableService, publication: Publication) -> None:
        self._uploads = uploads
        self._publication = publication

    async def on_head(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, identity: str) -> None:
        """Tell where it stands."""
        _agree(req, resp)
        upload = await asyncio.to_thread(self._uploads.get, identity)
        _describe(resp, upload)
        resp.set_header("Upload-Length", str(upload.length))
        if upload.metadata:
            resp.set_header("Upload-Metadata", upload.metadata)

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, identity: str) -> None:
        """Show it, with the version that it became."""
        _agree(req, resp)
        upload = await asyncio.to_thread(self._uploads.get, identity)
        version = await asyncio.to_thread(self._uploads.result, upload)
        _describe(resp, upload)
        send(resp, _shown(upload, None if version is None else representation.version(version)))

    async def on_patch(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, identity: str) -> None:
        """Take more of it; of a body that breaks off, what came. The last byte makes the version."""
        _agree(req, resp)
        if (req.content_type or "").partition(";")[0].strip().lower() != _TYPE:
            raise UnsupportedMediaError(f"An upload goes on with 'content-type: {_TYPE}'.")
        digests = Digests(req.get_header)
        offset = _number(req, "Upload-Offset")
        upload, writer = await asyncio.to_thread(self._uploads.begin, identity, offset)
        try:
            upload = await self._receive(req, upload, writer, digests)
        finally:
            await asyncio.to_thread(writer.abort)
        if upload.offset == upload.length:
            uploaded = await asyncio.to_thread(self._uploads.finish, upload)
            await self._publication.announce(uploaded.version)
            version = uploaded.version
            resp.set_header("Content-Location", f"/model/{version.model}/versions/{version.version}")
        _describe(resp, upload)
        resp.status = 204

    async def on_delete(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, identity: str) -> None:
        """Give it up."""
        _agree(req, resp)
        await asyncio.to_thread(self._uploads.discard, identity)
        resp.status = 204

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, identity: str) -> None:
        """Do what `X-HTTP-Method-Override` says, for clients that can only POST."""
        method = (req.get_header("X-HTTP-Method-Override") or "").upper()
        if method == "PATCH":
            await self.on_patch(req, resp, identity)
        elif method == "DELETE":
            await self.on_delete(req, resp, identity)
        else:
            raise falcon.HTTPMethodNotAllowed(["DELETE", "GET", "HEAD", "PATCH"])

    async def _receive(
        self, req: falcon.asgi.Request, upload: Upload, writer: BundleWriter, digests: Digests
    ) -> Upload:
        try:
            await Intake(writer, digests).take(chunks(req, upload.length - upload.offset))
        except MalformedError:
            # A digest of all of it says nothing of the part that came.
            if not digests:
                await asyncio.to_thread(self._uploads.append, upload, writer)
            raise
        if not digests.match():
            raise mismatch()
        return await asyncio.to_thread(self._uploads.append, upload, writer)


def _agree(req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
    resp.set_header("Tus-Resumable", _VERSION)
    spoken = req.get_header("Tus-Resumable")
    if spoken not in {None, _VERSION}:
        resp.set_header("Tus-Version", _VERSION)
        raise PreconditionFailedError(f"This hub speaks version {_VERSION} of tus.", code="tus_version")


def _describe(resp: falcon.asgi.Response, upload: Upload) -> None:
    resp.set_header("Upload-Offset", str(upload.offset))
    resp.set_header("Upload-Expires", _http_date(upload.expires_at))
    resp.set_header("Cache-Control", "no-store")


def _http_date(time: datetime) -> str:
    return format_datetime(time, usegmt=True)


def _number(req: falcon.asgi.Request, header: str) -> int:
    text = req.get_header(header) or ""
    if not (text.isascii() and text.isdigit() and len(text) < 16):  # noqa: PLR2004 (a petabyte)
        raise MalformedError(f"The header {header} takes a whole number of bytes.", code="bad_header")
    return int(text)


def _metadata(header: str) -> ModelFields:
    """Read `Upload-Metadata`: names, each with a value in base64, between commas."""
    fields = FormFields()
    for item in header.split(","):
        name, _, encoded = item.strip().partition(" ")
        if not name or name in _IGNORED:
            continue
        try:
            fields.take(name, base64.b64decode(encoded.strip(), validate=True).decode())
        except (binascii.Error, ValueError):
            raise MalformedError(
                f"In Upload-Metadata the value of {name[:80]!r} is not base64 of UTF-8.", code="bad_header"
            ) from None
    return fields.result()


def _shown(upload: Upload, version: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "id": upload.id,
        "model": upload.model,
        "state": upload.state,
        "offset": upload.offset,
        "length": upload.length,
        "created_at": upload.created_at,
        "expires_at": upload.expires_at,
        "version": version,
    }
