"""Bodies on their way to a writer: what cannot be written says why, and once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from mlhub.api.digests import Digests
from mlhub.api.intake import Intake
from mlhub.common.errors import UnavailableError
from mlhub.storage.bundles import StoredBundle

MIB = 1024 * 1024


class Full:
    """A writer on a disk with room for some bytes; after that its file is gone."""

    def __init__(self, room: int) -> None:
        self.written = b""
        self._room = room

    def write(self, chunk: bytes) -> None:
        if self._room < 0:
            raise ValueError("I/O operation on closed file")
        self._room -= len(chunk)
        if self._room < 0:
            raise UnavailableError("full")
        self.written += chunk

    def seal(self) -> StoredBundle:
        raise NotImplementedError

    def commit(self, key: str) -> None:
        raise NotImplementedError

    def abort(self) -> None:
        raise NotImplementedError


def take(writer: Full, *pieces: bytes) -> None:
    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    asyncio.run(Intake(writer, Digests(lambda _: None)).take(body()))


@pytest.mark.parametrize("room", [0, MIB, 2 * MIB - 1])
def test_a_disk_that_gets_full_is_what_the_client_hears_of(room: int) -> None:
    with pytest.raises(UnavailableError, match="full"):
        take(Full(room), bytes(MIB), bytes(MIB))


def test_all_pieces_arrive_once_and_in_order() -> None:
    writer = Full(10 * MIB)
    take(writer, b"a" * MIB, b"b", b"c" * (MIB - 1), b"d")
    assert writer.written == b"a" * MIB + b"b" + b"c" * (MIB - 1) + b"d"


def test_a_body_that_breaks_off_is_written_as_far_as_it_came() -> None:
    writer = Full(10 * MIB)

    async def body() -> AsyncIterator[bytes]:
        yield b"abc"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        asyncio.run(Intake(writer, Digests(lambda _: None)).take(body()))
    assert writer.written == b"abc"
