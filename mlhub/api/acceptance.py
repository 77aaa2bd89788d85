"""Accepting asynchronous predictions in groups: those that come at the same time are kept by one write.

There is no timer: one that comes alone is kept at once, and while a group is being kept the next collects.
Everything here runs on the event loop of one API process, but for the writing itself.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from mlhub.common.errors import MLHubError
from mlhub.common.prediction import Prediction

_MOST: Final = 16
"""Predictions in a group, and so ids in a message: a worker does them one after the other, and RabbitMQ takes
a message away from a worker that holds it for half an hour."""
_LARGEST: Final = 8 * 1024 * 1024
"""Bytes of inputs in a group of more than one."""

Keep = Callable[[Sequence[Prediction]], Sequence[Prediction | MLHubError]]
"""Writes a group, in a thread; returns what is kept for each, or why it is not."""
Announce = Callable[[Sequence[str], str], Awaitable[object]]
"""Tells the job pool of a backend (second) to look at some predictions (first)."""


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

    def __init__(self, keep: Keep, announce: Announce) -> None:
        self._keep = keep
        self._announce = announce
        self._waiting: deque[Waiter] = deque()
        self._keeping = False
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
        return await waiter.future

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_all(self) -> None:
        try:
            while self._waiting:
                await self._keep_group(self._take())
        finally:
            self._keeping = False

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
        try:
            kept = await asyncio.to_thread(self._keep, [waiter.prediction for waiter in group])
        except Exception as error:  # noqa: BLE001 (whatever it is, those who wait have to learn of it)
            for waiter in group:
                if not waiter.future.done():
                    waiter.future.set_exception(error)
            return
        # The next group is kept while this one is announced.
        self._start(self._announce_group(group, kept))

    async def _announce_group(self, group: Sequence[Waiter], kept: Sequence[Prediction | MLHubError]) -> None:
        new: dict[str, list[str]] = {}
        for waiter, one in zip(group, kept, strict=True):
            if one is waiter.prediction:
                new.setdefault(waiter.prediction.backend, []).append(waiter.prediction.id)
        try:
            await asyncio.gather(*(self._announce(ids, backend) for backend, ids in new.items()))
        finally:
            # They are kept, so they are accepted; a message that is lost is sent again.
            for waiter, one in zip(group, kept, strict=True):
                waiter.resolve(one)
