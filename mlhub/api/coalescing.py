"""One read for all requests that ask for the same at the same time, and never an old one."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedReads(Generic[T]):
    """Lets requests share reads, on the event loop.

    A request that arrives while a read of the same thing is under way joins the next one, which begins when
    the running one has ended. So what it gets was read after it arrived, whatever others wrote before; and
    of each thing there is one read at a time, however many ask.
    """

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[T]] = {}
        self._next: dict[Hashable, asyncio.Task[T]] = {}

    def __len__(self) -> int:
        """Return how many reads are under way or waited for."""
        return len(self._running) + len(self._next)

    async def get(self, key: Hashable, read: Callable[[], T]) -> T:
        """Return what `read` returns; it is called in a thread, once for all that wait for the same key.

        Args:
            key: what is read; equal keys stand for equal reads.
            read: reads it.

        Raises:
            Exception: what `read` raises, for each that waits for it.
        """
        running = self._running.get(key)
        if running is None:
            return await asyncio.shield(self._begin(key, read))
        following = self._next.get(key)
        if following is None:
            following = self._next[key] = asyncio.create_task(self._after(running, key, read))
            following.add_done_callback(_retrieve)
        return await asyncio.shield(following)

    async def _after(self, running: "asyncio.Task[T]", key: Hashable, read: Callable[[], T]) -> T:
        # How the running one ends is no concern of this one.
        await asyncio.wait([running])
        del self._next[key]
        # Another request may have begun one meanwhile, after all that wait here had arrived.
        return await asyncio.shield(self._running.get(key) or self._begin(key, read))

    def _begin(self, key: Hashable, read: Callable[[], T]) -> "asyncio.Task[T]":
        task = self._running[key] = asyncio.create_task(asyncio.to_thread(read))
        task.add_done_callback(lambda done: self._end(key, done))
        return task

    def _end(self, key: Hashable, task: "asyncio.Task[T]") -> None:
        if self._running.get(key) is task:
            del self._running[key]
        _retrieve(task)


def _retrieve(task: "asyncio.Task[T]") -> None:
    """Take note of an error, also when all that waited for it have gone."""
    if not task.cancelled():
        task.exception()
