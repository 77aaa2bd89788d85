"""Requests that may share a batch, and how they are collected.

A request is sent at once while nothing is in flight, so a lone one waits for nobody. Beside batches that
are in flight, another one goes once it is as large as those: smaller ones cost as much on the way, and the
next reply is near. When all slots are taken, requests collect until a reply frees one. There is no timer.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

import msgspec

from mlhub.common import tensor
from mlhub.common.batch import BatchRequest
from mlhub.common.rows import Rows
from mlhub.common.tensor import Array, Tensor

_NEAR: Final = 0.02
"""Seconds within which a reply is near enough to be waited for."""
_WEIGHT: Final = 0.1
"""Part that the newest roundtrip has in what is known of them."""

Key = tuple["Target", tuple[tuple[int, ...], ...]]
"""What requests of one group have in common: the target, and the shape of a row of each input."""


class Target(msgspec.Struct, frozen=True):
    """Where a request goes: which deployment of which model on which backend."""

    backend: str
    model: str
    deployment: str
    outputs: tuple[str, ...] = ()
    """Names of the outputs to return; empty means the model's default."""


class Limits(msgspec.Struct, frozen=True):
    """How large and how many the batches of a backend may be."""

    rows: int
    """Rows a batch may hold."""
    size: int
    """Bytes of tensors a batch may hold."""
    slots: int
    """Batches of one group in flight at once."""
    slots_ahead: int
    """The same where replies take long: some wait beside those that are worked on."""


class Outputs:
    """What consecutive requests of one batch share: the arrays, and what is made of them once for all."""

    def __init__(self, tensors: Sequence[Tensor], backend_time: float, queue_time: float) -> None:
        self.arrays = {item.name: tensor.decode(item) for item in tensors}
        self.datatypes = {item.name: item.datatype for item in tensors}
        self.backend_time = backend_time
        self.queue_time = queue_time

    @cached_property
    def lists(self) -> dict[str, list[Any]]:
        """The arrays as Python's values, by row."""
        return {name: tensor.to_list(array) for name, array in self.arrays.items()}

    @cached_property
    def timing(self) -> str:
        """The times in milliseconds, as the header `Server-Timing` has them."""
        milliseconds = (self.queue_time * 1000, self.backend_time * 1000)
        return "queue;dur={:.2f}, backend;dur={:.2f}".format(*milliseconds)


class Answer:
    """The outputs for one request: its rows of what the batch brought."""

    __slots__ = ("_end", "_start", "shared")

    def __init__(self, shared: Outputs, start: int | None = None, end: int | None = None) -> None:
        self.shared = shared
        self._start = start
        """First row; nothing where all is for this request, rows or not."""
        self._end = end

    @property
    def outputs(self) -> dict[str, Array]:
        """Arrays by output name, rows first."""
        arrays = self.shared.arrays
        if self._start is None:
            return arrays
        return {name: array[self._start : self._end] for name, array in arrays.items()}

    @property
    def values(self) -> dict[str, list[Any]]:
        """The same as Python's values."""
        lists = self.shared.lists
        if self._start is None:
            return lists
        return {name: rows[self._start : self._end] for name, rows in lists.items()}

    @property
    def datatypes(self) -> dict[str, str]:
        """Open Inference datatypes of the outputs."""
        return self.shared.datatypes

    @property
    def backend_time(self) -> float:
        """Seconds the model server took for the batch."""
        return self.shared.backend_time

    @property
    def queue_time(self) -> float:
        """Seconds between sending the batch and its reply that the model server did not take."""
        return self.shared.queue_time


class Waiter:
    """One request that waits for its answer."""

    __slots__ = ("deadline", "future", "rows", "size")

    def __init__(self, rows: Rows, future: "asyncio.Future[Answer]", deadline: float) -> None:
        self.rows = rows
        self.future = future
        self.deadline = deadline
        """Time of the event loop after which nobody wants the answer."""
        self.size = sum(array.nbytes for array in rows.inputs.values())
        """Bytes of its tensors."""


class Batch:
    """Requests that go out together."""

    __slots__ = ("group", "identity", "sent_at", "timer", "waiters")

    def __init__(self, identity: str, group: "Group", waiters: list[Waiter], sent_at: float) -> None:
        self.identity = identity
        self.group = group
        self.waiters = waiters
        self.sent_at = sent_at
        """Time of the event loop."""
        self.timer: asyncio.TimerHandle | None = None

    def request(self) -> BatchRequest:
        """Stack the inputs into the message for the predict pool."""
        target = self.group.target
        inputs = tuple(
            tensor.encode(name, tensor.concatenate([waiter.rows.inputs[name] for waiter in self.waiters]))
            for name in self.waiters[0].rows.inputs
        )
        sizes = tuple(waiter.rows.count for waiter in self.waiters)
        return BatchRequest(target.model, target.deployment, inputs, sizes, target.outputs)


class Group:
    """The requests for one target whose inputs can be stacked."""

    def __init__(self, key: Key, target: Target, limits: Limits) -> None:
        self.key = key
        self.target = target
        self.limits = limits
        self.waiting: deque[Waiter] = deque()
        self.in_flight = 0
        self.requests_in_flight = 0
        """Requests in the batches in flight."""
        self.roundtrip = 0.0
        """Seconds between a batch and its reply, as they were lately."""
        self.scheduled = False
        """Whether the event loop will look at this group before it waits again."""

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return not self.waiting and not self.in_flight

    @property
    def ripe(self) -> bool:
        """Whether another batch should go out now."""
        # Where replies take long, waiting for one would cost more than a small batch does; and the next
        # batches are better at hand when a slot frees, since the way there takes its time.
        slow = self.roundtrip > _NEAR
        if not self.waiting or self.in_flight >= (self.limits.slots_ahead if slow else self.limits.slots):
            return False
        return not self.in_flight or slow or len(self.waiting) * self.in_flight >= self.requests_in_flight

    def sent(self, batch: Batch) -> None:
        """Count a batch that goes out."""
        self.in_flight += 1
        self.requests_in_flight += len(batch.waiters)

    def ended(self, batch: Batch) -> None:
        """Count it out again."""
        self.in_flight -= 1
        self.requests_in_flight -= len(batch.waiters)

    def took(self, seconds: float) -> None:
        """Learn how long a batch took."""
        self.roundtrip += (seconds - self.roundtrip) * _WEIGHT

    def take(self) -> list[Waiter]:
        """Take the requests of the next batch, in order; empty when none is wanted any more."""
        taken: list[Waiter] = []
        rows = size = 0
        while self.waiting:
            waiter = self.waiting[0]
            if waiter.future.done():
                self.waiting.popleft()
                continue
            rows += waiter.rows.count
            size += waiter.size
            # A request that is larger than a batch may be goes alone.
            if taken and (rows > self.limits.rows or size > self.limits.size):
                break
            taken.append(self.waiting.popleft())
        return taken
