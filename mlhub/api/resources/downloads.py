"""`/model/{name}/download`: the very bytes that came in, with flat memory."""

import asyncio
import base64
import hashlib
import logging
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import BinaryIO, Final, Protocol

import falcon.asgi

from mlhub.api.ranges import ByteRange, range_of
from mlhub.api.responses import has_tag
from mlhub.api.services.models import ModelService
from mlhub.common.errors import RangeError, UnavailableError
from mlhub.common.model import Bundle
from mlhub.common.names import LATEST
from mlhub.storage.bundles import BundleStore

_LOG = logging.getLogger(__name__)

_PIECE: Final = 1024 * 1024
"""Bytes read and sent at once."""


class DownloadResource:
    """The way out."""

    def __init__(self, models: ModelService, bundles: BundleStore) -> None:
        self._models = models
        self._bundles = bundles

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str, version: str | None = None
    ) -> None:
        """Send a version's bundle, or a range of it; of the latest one unless another is named."""
        bundle = await self._describe(req, resp, name, version)
        if resp.status_code == HTTPStatus.NOT_MODIFIED:
            return
        try:
            wanted = range_of(req, bundle.sha256, bundle.size)
        except RangeError:
            resp.set_header("Content-Range", f"bytes */{bundle.size}")
            raise
        file = await asyncio.to_thread(self._bundles.open, bundle.key)
        if wanted is None:
            resp.content_length = bundle.size
            resp.stream = pieces(_WholeFile(file, bundle))
            return
        resp.status = 206
        resp.set_header("Content-Range", f"bytes {wanted.first}-{wanted.last}/{bundle.size}")
        resp.content_length = wanted.length
        resp.stream = pieces(_PartOfFile(file, bundle, wanted))

    async def on_head(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str, version: str | None = None
    ) -> None:
        """Tell of a version's bundle what its download would."""
        bundle = await self._describe(req, resp, name, version)
        resp.content_length = bundle.size

    async def _describe(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str, version: str | None
    ) -> Bundle:
        wanted = version or req.get_param("version") or LATEST
        bundle = (await asyncio.to_thread(self._models.bundle, name, wanted)).bundle
        resp.set_header("ETag", f'"{bundle.sha256}"')
        resp.set_header("Accept-Ranges", "bytes")
        if has_tag(req.get_header("If-None-Match"), bundle.sha256):
            resp.status = 304
            return bundle
        digest = base64.b64encode(bytes.fromhex(bundle.sha256)).decode()
        resp.set_header("Repr-Digest", f"sha-256=:{digest}:")
        resp.content_type = "application/octet-stream"
        resp.set_header("Content-Disposition", f'attachment; filename="{bundle.filename}"')
        return bundle


class _WholeFile:
    """A bundle that is checked while it is read: its last piece comes only when all were right."""

    def __init__(self, file: BinaryIO, bundle: Bundle) -> None:
        self._file = file
        self._bundle = bundle
        self._hash = hashlib.sha256()
        self._left = bundle.size

    def read(self) -> bytes:
        """Return the next piece; none after the last.

        Raises:
            UnavailableError: the store has something else than was uploaded.
        """
        piece = self._file.read(min(_PIECE, self._left))
        self._hash.update(piece)
        self._left -= len(piece)
        is_short = not piece and self._left > 0
        is_other = self._left == 0 and self._hash.hexdigest() != self._bundle.sha256
        if is_short or is_other:
            raise _damaged(self._bundle)
        return piece

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class _PartOfFile:
    """A range of a bundle; of less than all there is no digest to check."""

    def __init__(self, file: BinaryIO, bundle: Bundle, wanted: ByteRange) -> None:
        self._file = file
        self._bundle = bundle
        self._left = wanted.length
        self._start = wanted.first

    def read(self) -> bytes:
        """Return the next piece; none after the last.

        Raises:
            UnavailableError: the store has less than was uploaded.
        """
        if self._start:
            self._file.seek(self._start)
            self._start = 0
        piece = self._file.read(min(_PIECE, self._left))
        self._left -= len(piece)
        if not piece and self._left > 0:
            raise _damaged(self._bundle)
        return piece

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class Piecewise(Protocol):
    """What is sent piece by piece; its methods run in threads, one at a time."""

    def read(self) -> bytes:
        """Return the next piece; none after the last."""

    def close(self) -> None:
        """Let go of what it reads."""


async def pieces(file: Piecewise) -> AsyncIterator[bytes]:
    """Yield a file's pieces, reading the next one while the one before is sent."""
    following = asyncio.ensure_future(asyncio.to_thread(file.read))
    try:
        while piece := await following:
            following = asyncio.ensure_future(asyncio.to_thread(file.read))
            yield piece
    finally:
        # A thread may still read, and a file must not be closed under it.
        await asyncio.wait([following])
        if not following.cancelled():
            following.exception()
        file.close()


def _damaged(bundle: Bundle) -> UnavailableError:
    _LOG.error("bundle %s is not what was uploaded: its disk or store has changed it", bundle.key)
    return UnavailableError("The bundle in the store is damaged.", code="bundle_damaged")
