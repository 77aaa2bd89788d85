"""Requests that may share a batch: those for one target whose inputs can be stacked."""

import asyncio
from collections import deque
from typing import Final

import msgspec

from mlhub.api.gateway.answer import Answer
from mlhub.api.gateway.slots import Limits, Slots
from mlhub.common import logs, tensor
from mlhub.common.batch import BatchRequest
from mlhub.common.errors import MLHubError
from mlhub.common.rows import Rows

_QUICK: Final = 0.02
"""Seconds a model server may take for a batch of a quick model."""
_SLOWER: Final = 0.1
_QUICKER: Final = 0.3
"""Parts that the newest batch has in what is known of them: a model that was slow at first, since it had to
be loaded, is soon known as quick."""

Key = tuple["Target", tuple[tuple[int, ...], ...]]
"""What requests of one group have in common: the target, and the shape of a row of each input."""


class Target(msgspec.Struct, frozen=True):
    """Where a request goes: which deployment of which model on which backend."""

    backend: str
    model: str
    deployment: str
    outputs: tuple[str, ...] = ()
    """Names of the outputs to return; empty means the model's default."""


class Waiter:
    """One request that waits for its answer; its families know what to do with that."""

    __slots__ = ("deadline", "is_settled", "request", "rows", "size", "trace", "wait")

    def __init__(self, rows: Rows, now: float, wait: float, request: str, trace: str) -> None:
        """Begin to wait.

        Args:
            rows: its inputs.
            now: time of the event loop.
            wait: seconds after which nobody wants the answer.
            request: its id.
            trace: its span; empty without traces.
        """
        self.rows = rows
        self.wait = wait
        self.deadline = now + wait
        """Time of the event loop after which nobody wants the answer."""
        self.request = request
        self.trace = trace
        self.is_settled = False
        """Whether it has its answer, or waits no more."""
        self.size = sum([array.nbytes for array in rows.inputs.values()])
        """Bytes of its tensors."""

    def answered(self, answer: Answer) -> None:
        """Take the answer; called once, if `failed` is not. Whatever is wrong with it is its own affair."""
        raise NotImplementedError

    def failed(self, error: MLHubError) -> None:
        """Take an error in place of the answer."""
        raise NotImplementedError


class AwaitedWaiter(Waiter):
    """A request whose answer a coroutine awaits."""

    __slots__ = ("future",)

    def __init__(self, rows: Rows, now: float, wait: float, request: str, trace: str) -> None:
        """Begin to wait; see `Waiter`."""
        super().__init__(rows, now, wait, request, trace)
        self.future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def answered(self, answer: Answer) -> None:
        """Wake it up."""
        if not self.future.done():
            self.future.set_result(answer)

    def failed(self, error: MLHubError) -> None:
        """Raise it there."""
        if not self.future.done():
            self.future.set_exception(error)


class Batch:
    """Requests of one group that go out together: one call to the model server."""

    __slots__ = ("group", "waiters")

    def __init__(self, group: "Group", waiters: list[Waiter]) -> None:
        self.group = group
        self.waiters = waiters

    @property
    def rows(self) -> int:
        """Rows that it holds."""
        return sum(waiter.rows.count for waiter in self.waiters)

    @property
    def size(self) -> int:
        """Bytes of its tensors."""
        return sum(waiter.size for waiter in self.waiters)

    def request(self, trace: str = "") -> BatchRequest:
        """Stack the inputs into the message for the predict pool, which has a span."""
        target = self.group.target
        inputs = tuple(
            tensor.encode(name, tensor.concatenate([waiter.rows.inputs[name] for waiter in self.waiters]))
            for name in self.waiters[0].rows.inputs
        )
        sizes = tuple(waiter.rows.count for waiter in self.waiters)
        requests = logs.joined([waiter.request for waiter in self.waiters])
        return BatchRequest(target.model, target.deployment, inputs, sizes, target.outputs, requests, trace)


class Group:
    """The requests that wait for one target, and what is known of how long it takes."""

    def __init__(self, key: Key, target: Target, limits: Limits) -> None:
        self.key = key
        self.target = target
        self.waiting: deque[Waiter] = deque()
        self.slots = Slots(limits)
        """Of the messages that hold nothing else."""
        self._backend_time: float | None = None
        """Seconds that the model server took for a batch lately."""

    @property
    def quick(self) -> bool:
        """Whether it is known to be answered soon, so that others may share a message with it."""
        return self._backend_time is not None and self._backend_time <= _QUICK

    def took(self, seconds: float) -> None:
        """Learn how long the model server took for a batch."""
        if self._backend_time is None:
            self._backend_time = seconds
        else:
            weight = _SLOWER if seconds > self._backend_time else _QUICKER
            self._backend_time += (seconds - self._backend_time) * weight

    def take(self, rows: int, size: int, *, alone: bool) -> list[Waiter]:
        """Take the requests of the next batch, in order; empty when none is wanted any more, or none fits.

        Args:
            rows: that it may hold.
            size: bytes of tensors that it may hold.
            alone: whether one request may be larger than that, since it goes alone.
        """
        taken: list[Waiter] = []
        while self.waiting:
            waiter = self.waiting[0]
            if waiter.is_settled:
                self.waiting.popleft()
                continue
            rows -= waiter.rows.count
            size -= waiter.size
            if (taken or not alone) and (rows < 0 or size < 0):
                break
            taken.append(self.waiting.popleft())
        return taken
