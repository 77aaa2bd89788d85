"""Accepting asynchronous predictions in groups: those that come at the same time are kept by one write.

One that comes alone is kept at once, and while a group is being kept the next collects. The larger a group,
the less each of its predictions costs the database from now until it is done; so those who came at the same
time before are given a moment to come again.

Everything here runs on the event loop of one API process, but for the writing itself.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

from mlhub.common.errors import MLHubError
from mlhub.common.prediction import Prediction, group_of

_MOST: Final = 64
"""Predictions that are kept and announced together: a worker does them in one call, and while it does others
wait for it."""
_LARGEST: Final = 4 * 1024 * 1024
"""Bytes of their inputs, unless it is one: a database keeps 16 MiB in a document."""
_PATIENCE: Final = 0.01
"""Seconds that a group waits at most for those to come again who were there before."""


def patience_after(seconds: float) -> float:
    """Return for how long those who were there before are waited for: a write would take as long."""
    return min(seconds, _PATIENCE)


Keep = Callable[[Sequence[Prediction]], Sequence[Prediction | MLHubError]]
"""Writes a group, in a thread; returns for each what is kept, by the name that it has then, or an error."""
Announce = Callable[[Sequence[str], str], Awaitable[object]]
"""Tells the job pool of a backend (second) to look at some groups of predictions (first)."""


class Waiter:
    """A prediction whose client waits to hear that it is kept."""

    __slots__ = ("future", "prediction", "size")

    def __init__(self, prediction: Prediction) -> None:
        self.prediction = prediction
        self.size = sum(len(item.data) for item in prediction.inputs)
        """Bytes of its inputs."""
        self.future: asyncio.Future[Prediction] = asyncio.get_running_loop().create_future()

    def resolve(self, kept: Prediction | MLHubError) -> None:
        """Let the client know, if it still waits."""
        if self.future.done():
            return
        if isinstance(kept, MLHubError):
            self.future.set_exception(kept)
        else:
            self.future.set_result(kept)


class Acceptance:
    """Keeps predictions in groups, and announces each group by one message to each backend."""

    def __init__(
        self, keep: Keep, announce: Announce, patience: Callable[[float], float] | None = None
    ) -> None:
        """Remember what is needed.

        Args:
            keep: writes a group.
            announce: tells the workers of it.
            patience: says of the seconds that a write took how many the next waits to be as large.
        """
        self._keep = keep
        self._announce = announce
        self._patience = patience or patience_after
        self._waiting: deque[Waiter] = deque()
        self._keeping = False
        self._expected = 0
        """How many were there when a group was kept last, in it or waiting for the next."""
        self._patient_until = float("-inf")
        """Until when the next waits for as many, as the loop tells time."""
        self._complete = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, prediction: Prediction) -> Prediction:
        """Keep a prediction and announce it; return what is kept, which with an earlier one's key is that.

        Raises:
            MLHubError: it is not kept.
        """
        waiter = Waiter(prediction)
        self._waiting.append(waiter)
        if not self._keeping:
            # Begun once the loop has taken in all that came at the same time.
            self._keeping = True
            self._start(self._keep_all())
        elif len(self._waiting) >= self._expected:
            self._complete.set()
        return await waiter.future

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_all(self) -> None:
        try:
            while self._waiting:
                await self._collect()
                await self._keep_group(self._take())
        finally:
            self._keeping = False

    async def _collect(self) -> None:
        """Wait until as many are there as were before, if that may be soon."""
        self._complete.clear()
        if len(self._waiting) < self._expected:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._patient_until):
                    await self._complete.wait()

    def _take(self) -> list[Waiter]:
        group: list[Waiter] = []
        size = 0
        while self._waiting and len(group) < _MOST:
            size += self._waiting[0].size
            if group and size > _LARGEST:
                break
            group.append(self._waiting.popleft())
        return group

    async def _keep_group(self, group: list[Waiter]) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            kept = await asyncio.to_thread(self._keep, [waiter.prediction for waiter in group])
        except Exception as error:  # noqa: BLE001 (whatever it is, those who wait have to learn of it)
            for waiter in group:
                if not waiter.future.done():
                    waiter.future.set_exception(error)
            return
        ended = loop.time()
        self._patient_until = ended + self._patience(ended - begun)
        self._expected = min(len(group) + len(self._waiting), _MOST)
        # The next group is kept while this one is announced.
        self._start(self._announce_group(group, kept))

    async def _announce_group(self, group: Sequence[Waiter], kept: Sequence[Prediction | MLHubError]) -> None:
        # Those kept have the name of one of them; others were kept before, under the same key.
        own = {waiter.prediction.id for waiter in group}
        new: dict[str, dict[str, None]] = {}
        for one in kept:
            # Those that wait for their turn are announced when it comes.
            if isinstance(one, MLHubError) or one.published_at is None:
                continue
            if (name := group_of(one.id)) in own:
                new.setdefault(one.backend, {})[name] = None
        try:
            await asyncio.gather(*(self._announce(list(names), backend) for backend, names in new.items()))
        finally:
            # They are kept, so they are accepted; a message that is lost is sent again.
            for waiter, one in zip(group, kept, strict=True):
                waiter.resolve(one)
