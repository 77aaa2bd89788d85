"""A bundle on its way from the event loop to a writer."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Any, Final

from mlhub.api.digests import Digests
from mlhub.common.archive import GZIP, HEAD, ZIP, archive_kind
from mlhub.common.errors import MalformedError, TooLargeError, UnsupportedMediaError
from mlhub.storage.bundles import BundleWriter

_PIECE: Final = 1024 * 1024
"""Bytes handed to a thread at once: enough that the hand-over costs next to nothing."""
_GZIP: Final = 31
"""zlib's number for gzip."""


class Intake:
    """Takes in bytes as they arrive, and writes them in large pieces in threads."""

    def __init__(self, writer: BundleWriter, digests: Digests, coding: "Coding | None" = None) -> None:
        self._writer = writer
        self._digests = digests
        self._coding = coding

    async def take(self, pieces: AsyncIterator[bytes]) -> None:
        """Take all of it.

        Raises:
            UnavailableError: the store takes no more.
            TooLargeError: it decodes to more than a bundle may have.
            MalformedError: it is not encoded as it says.
        """
        gathered = bytearray()
        try:
            async for piece in pieces:
                gathered += piece
                if len(gathered) >= _PIECE:
                    # Taken out first: what could not be written is not written once more below.
                    whole, gathered = bytes(gathered), bytearray()
                    await asyncio.to_thread(self._write, whole)
        finally:
            # Also of a body that breaks off: a resumable upload goes on from there.
            if gathered:
                await asyncio.to_thread(self._write, bytes(gathered))
        if self._coding is not None:
            self._coding.end()

    def _write(self, piece: bytes) -> None:
        self._digests.update(piece)
        if self._coding is None:
            self._writer.write(piece)
            return
        for part in self._coding.decode(piece):
            self._writer.write(part)


class Coding:
    """`Content-Encoding: gzip`, which says two things.

    Most clients send a tar.gz with it as it is: then the gzip layer is the archive's own, and stays. Some
    compress on the way what is an archive by itself, a tar.gz or a zip: then the layer goes. So the first
    bytes decide: it goes when what is inside is compressed.
    """

    def __init__(self, limit: int) -> None:
        """Begin.

        Args:
            limit: bytes that the bundle may have without the layer.
        """
        self._limit = limit
        self._inflate: Any = None
        self._is_begun = False
        self._size = 0

    def decode(self, piece: bytes) -> list[bytes]:
        """Return what to keep of the next bytes.

        Raises:
            TooLargeError: there is more of it than a bundle may have.
            MalformedError: the layer is broken.
        """
        if not self._is_begun:
            self._is_begun = True
            if _wraps_archive(piece):
                self._inflate = zlib.decompressobj(_GZIP)
        if self._inflate is None:
            return [piece]
        parts = []
        while piece:
            part = self._inflated(piece)
            self._size += len(part)
            if self._size > self._limit:
                raise TooLargeError(f"The bundle is larger than the {self._limit} bytes that this hub takes.")
            parts.append(part)
            piece = self._inflate.unconsumed_tail
            if self._inflate.unused_data:
                raise _broken()
        return parts

    def end(self) -> None:
        """See that the layer ended where the body did.

        Raises:
            MalformedError: it did not.
        """
        if self._inflate is not None and not self._inflate.eof:
            raise _broken()

    def _inflated(self, piece: bytes) -> bytes:
        try:
            part: bytes = self._inflate.decompress(piece, _PIECE)
        except zlib.error:
            raise _broken() from None
        return part


class Packing(Coding):
    """`Content-Encoding: gzip` of what is no archive, where it says one thing: the layer goes."""

    def __init__(self, limit: int) -> None:
        """Begin.

        Args:
            limit: bytes that the body may have without the layer.
        """
        super().__init__(limit)
        self._is_begun = True
        self._inflate = zlib.decompressobj(_GZIP)


def coding_of(header: str | None, limit: int) -> Coding | None:
    """Return what `Content-Encoding` asks for.

    Raises:
        UnsupportedMediaError: something else than gzip.
    """
    given = (header or "identity").strip().lower()
    if given in {"gzip", "x-gzip"}:
        return Coding(limit)
    if given == "identity":
        return None
    raise UnsupportedMediaError(f"A bundle is sent as it is or with gzip, not with {given[:40]!r}.")


def _wraps_archive(head: bytes) -> bool:
    if archive_kind(head) is not GZIP:
        return False
    try:
        inner = zlib.decompressobj(_GZIP).decompress(head, HEAD)
    except zlib.error:
        return False
    return archive_kind(inner) in {GZIP, ZIP}


def _broken() -> MalformedError:
    return MalformedError("The body is not the gzip that its Content-Encoding says.", code="bad_encoding")
