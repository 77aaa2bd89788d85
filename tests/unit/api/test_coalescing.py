"""That requests share reads, and that none gets what was read before it arrived."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from mlhub.api.coalescing import SharedReads


class Source:
    """A value that takes as long to read as the test wants."""

    def __init__(self) -> None:
        self.value = 0
        self.reads = 0
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)

    def read(self) -> int:
        self.reads += 1
        value = self.value
        self.begun.release()
        self.may_end.acquire(timeout=60)
        return value


def run(test: Callable[[SharedReads[Any], Source], Any]) -> None:
    asyncio.run(test(SharedReads(), Source()))


async def begun(source: Source) -> None:
    assert await asyncio.to_thread(source.begun.acquire, timeout=60)


def test_a_request_alone_reads_for_itself() -> None:
    async def test(reads: SharedReads[int], source: Source) -> None:
        source.may_end.release(2)
        assert await reads.get("a", source.read) == 0
        source.value = 1
        assert await reads.get("a", source.read) == 1

    run(test)


def test_requests_that_arrive_during_a_read_share_the_next_one() -> None:
    async def test(reads: SharedReads[int], source: Source) -> None:
        first = asyncio.create_task(reads.get("a", source.read))
        await begun(source)
        source.value = 1
        others = [asyncio.create_task(reads.get("a", source.read)) for _ in range(20)]
        await asyncio.sleep(0)
        source.may_end.release(2)
        assert await first == 0
        assert await asyncio.gather(*others) == [1] * 20
        assert source.reads == 2

    run(test)


def test_different_things_are_read_side_by_side() -> None:
    async def test(reads: SharedReads[int], source: Source) -> None:
        both = [asyncio.create_task(reads.get(key, source.read)) for key in "ab"]
        await begun(source)
        await begun(source)
        source.may_end.release(2)
        assert await asyncio.gather(*both) == [0, 0]

    run(test)


def test_an_error_reaches_all_that_wait_and_nobody_later() -> None:
    async def test(reads: SharedReads[int], source: Source) -> None:
        def fail() -> int:
            source.read()
            raise ValueError

        first = asyncio.create_task(reads.get("a", source.read))
        await begun(source)
        waiting = [asyncio.create_task(reads.get("a", fail)) for _ in range(3)]
        await asyncio.sleep(0)
        source.may_end.release(3)
        assert await first == 0
        for one in waiting:
            with pytest.raises(ValueError):  # noqa: PT011 (raised here, without a text)
                await one
        assert await reads.get("a", source.read) == 0

    run(test)


def test_a_request_that_goes_away_takes_no_read_from_others() -> None:
    async def test(reads: SharedReads[int], source: Source) -> None:
        first = asyncio.create_task(reads.get("a", source.read))
        await begun(source)
        leaving, staying = (asyncio.create_task(reads.get("a", source.read)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        leaving.cancel()
        source.may_end.release(2)
        assert await staying == 0

    run(test)


def test_nothing_is_kept_once_all_is_read() -> None:
    async def test(reads: SharedReads[int], source: Source) -> None:
        source.may_end.release(100)
        await asyncio.gather(*(reads.get(number % 3, source.read) for number in range(30)))
        await asyncio.sleep(0)
        assert len(reads) == 0

    run(test)
