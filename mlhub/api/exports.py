"""An export on its way out and in: a tar made and taken apart piece by piece, with flat memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import BinaryIO, Final

import msgspec

from mlhub.common import export
from mlhub.common.errors import MalformedError
from mlhub.common.export import BLOCK, END, MANIFEST, ExportedVersion, Manifest

_PIECE: Final = 1024 * 1024


def length(manifest: bytes, versions: tuple[ExportedVersion, ...]) -> int:
    """Return the bytes an export has."""
    sizes = [len(manifest), *(version.size for version in versions)]
    return sum(BLOCK + size + export.padding(size) for size in sizes) + len(END)


async def written(
    manifest: bytes, versions: tuple[ExportedVersion, ...], open_bundle: Callable[[int], BinaryIO]
) -> AsyncIterator[bytes]:
    """Yield an export; `open_bundle` opens the bundle of a version by its place in the manifest."""
    yield export.header(MANIFEST, len(manifest)) + manifest + bytes(export.padding(len(manifest)))
    for place, version in enumerate(versions):
        yield export.header(version.member, version.size)
        file = await asyncio.to_thread(open_bundle, place)
        try:
            while piece := await asyncio.to_thread(file.read, _PIECE):
                yield piece
        finally:
            file.close()
        yield bytes(export.padding(version.size))
    yield END


class Splitter:
    """Takes an export apart while it comes in."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = bytearray()

    async def manifest(self, limit: int) -> Manifest:
        """Read what comes first.

        Raises:
            MalformedError: it is no export, or breaks off.
            UnacceptableError: the manifest cannot be read.
        """
        name, size = await self._header()
        if name != MANIFEST or size > limit:
            raise export.not_an_export()
        data = b"".join([piece async for piece in self._content(size)])
        return export.read_manifest(data)

    async def bundle(self, version: ExportedVersion) -> AsyncIterator[bytes]:
        """Yield the bundle that comes next, which must be that of `version`.

        Raises:
            MalformedError: it is another one, or breaks off.
        """
        if await self._header() != (version.member, version.size):
            raise export.not_an_export()
        async for piece in self._content(version.size):
            yield piece

    async def _header(self) -> tuple[str, int]:
        while len(self._buffer) < BLOCK:
            await self._more()
        block = bytes(self._buffer[:BLOCK])
        del self._buffer[:BLOCK]
        found = export.read_header(block)
        if found is None:
            raise _cut_off()
        return found

    async def _content(self, size: int) -> AsyncIterator[bytes]:
        left = size
        while left:
            if not self._buffer:
                await self._more()
            piece = bytes(self._buffer[: min(left, _PIECE)])
            del self._buffer[: len(piece)]
            left -= len(piece)
            yield piece
        rest = export.padding(size)
        while len(self._buffer) < rest:
            await self._more()
        del self._buffer[:rest]

    async def _more(self) -> None:
        try:
            self._buffer += await anext(self._chunks)
        except StopAsyncIteration:
            raise _cut_off() from None


def _cut_off() -> MalformedError:
    return MalformedError(
        "The body ends before all of an export came; send what 'mlhub export' gave, whole.",
        code="body_incomplete",
    )


def encode(manifest: Manifest) -> bytes:
    """Return the manifest as it stands in the tar."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1)
