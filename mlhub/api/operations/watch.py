"""A look at something slow that many ask for: shared, bounded in time, and never oftener than is of use."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from mlhub.common.errors import MLHubError, UnavailableError

T = TypeVar("T")

_FRESH: Final = 1.0
"""Seconds for which a look is as good as a new one."""
_FAIR: Final = 5.0
"""Seconds for which it is good enough while a new one is under way."""
_OLD: Final = 15.0
"""Seconds for which it is better than nothing, when no new one succeeds."""
_WAIT: Final = 3.0
"""Seconds that a request waits for a new one, where it is not said otherwise."""


class Watch(Generic[T]):
    """Looks when somebody asks, and remembers what it saw."""

    def __init__(self, look: Callable[[], Awaitable[T]], what: str, wait: float = _WAIT) -> None:
        """Remember how to look.

        Args:
            look: looks; raises `MLHubError` when it cannot.
            what: what is looked at, as the beginning of a sentence: `The message broker`.
            wait: seconds that a request waits for a new look when the last one is too old.
        """
        self._look = look
        self._what = what
        self._wait = wait
        self._last: tuple[T, float] | None = None
        self._task: asyncio.Task[None] | None = None
        self._error: MLHubError | None = None

    @property
    def age(self) -> float:
        """Seconds since the last look that succeeded; endless when there was none."""
        return float("inf") if self._last is None else asyncio.get_running_loop().time() - self._last[1]

    async def get(self) -> T:
        """Return what a look saw, of which `age` tells how old it is.

        Raises:
            UnavailableError: it is away, or too slow for an answer that is any good.
        """
        if self.age > _FRESH:
            task = self._begin()
            if self.age > _FAIR:
                await asyncio.wait([task], timeout=self._wait)
        if self._last is not None and self.age <= _OLD:
            return self._last[0]
        if self._error is None:
            raise UnavailableError(f"{self._what} does not answer; try again in a moment.", retry_after=2)
        raise UnavailableError(self._error.detail, code=self._error.code, retry_after=2)

    def forget(self) -> None:
        """Have the next request look anew, since something was changed."""
        self._last = None

    def _begin(self) -> "asyncio.Task[None]":
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return self._task

    async def _run(self) -> None:
        begun = asyncio.get_running_loop().time()
        try:
            seen = await self._look()
        except MLHubError as error:
            self._error = error
        else:
            self._error = None
            self._last = (seen, begun)


async def known(ask: Callable[[], Awaitable[T]]) -> T | None:
    """Return an answer; nothing when whoever is asked is away, and the rest is worth telling without."""
    try:
        return await ask()
    except MLHubError:
        return None
