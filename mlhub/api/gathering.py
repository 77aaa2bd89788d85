"""Single reads made together: where many things are asked for one by one, the database answers lists."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Final, Generic, TypeVar

K = TypeVar("K")
T = TypeVar("T")

_MOST: Final = 128
"""Things in one read."""


class GatheredReads(Generic[K, T]):
    """Reads what is asked for on the event loop: a read at a time, of all that was asked for meanwhile."""

    def __init__(self, read: Callable[[Sequence[K]], Sequence[T | Exception]]) -> None:
        """Begin without any.

        Args:
            read: reads all of a list, and may block; returns what is there of each, or why there is nothing.
        """
        self._read = read
        self._wanted: list[tuple[K, asyncio.Future[T]]] = []
        self._reading: asyncio.Task[None] | None = None

    async def get(self, key: K) -> T:
        """Return what is there.

        Raises:
            Exception: what `read` gives for this key, or raises for all.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._wanted.append((key, future))
        if self._reading is None:
            self._reading = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._wanted:
            batch, self._wanted = self._wanted[:_MOST], self._wanted[_MOST:]
            keys = [key for key, _ in batch]
            (found,) = await asyncio.gather(asyncio.to_thread(self._read, keys), return_exceptions=True)
            each = repeat(found) if isinstance(found, BaseException) else found
            for (_, future), result in zip(batch, each, strict=False):
                if future.done():
                    # Whoever asked went away.
                    continue
                if isinstance(result, BaseException):
                    future.set_exception(result)
                else:
                    future.set_result(result)
        self._reading = None
