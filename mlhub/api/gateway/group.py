"""Requests that may share a batch, and how they are collected.

A request is sent at once while a slot is free, so a lone one waits for nobody. When all slots are in
flight, requests collect until a reply frees a slot. There is no timer.
"""

import asyncio
from collections import deque

import msgspec

from mlhub.common import tensor
from mlhub.common.batch import BatchRequest
from mlhub.common.rows import Rows
from mlhub.common.tensor import Array

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


class Answer(msgspec.Struct, frozen=True):
    """The outputs for one request."""

    outputs: dict[str, Array]
    """Arrays by output name, rows first."""
    datatypes: dict[str, str]
    """Open Inference datatypes of the outputs."""
    backend_time: float
    """Seconds the model server took for the batch."""
    queue_time: float
    """Seconds between sending the batch and its reply that the model server did not take."""


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
        self.scheduled = False
        """Whether the event loop will look at this group before it waits again."""

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return not self.waiting and not self.in_flight

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
