"""A message that is on its way, from its sending to its reply."""

import asyncio
from uuid import uuid4

from mlhub.api.gateway.group import Batch
from mlhub.api.gateway.lane import Lane
from mlhub.api.gateway.slots import Slots
from mlhub.common import logs, topology
from mlhub.common.tracing import Attributes, Kind, Span, Tracing


class Shipment:
    """The batches that went out in one message, and what is to be known until its reply comes."""

    __slots__ = ("batches", "identity", "lane", "requests", "sent_at", "slots", "span", "timer")

    def __init__(self, lane: Lane, slots: Slots, batches: list[Batch], sent_at: float) -> None:
        self.identity = str(uuid4())
        self.lane = lane
        self.slots = slots
        self.batches = batches
        self.requests = sum(len(batch.waiters) for batch in batches)
        self.sent_at = sent_at
        """Time of the event loop."""
        self.timer: asyncio.TimerHandle | None = None
        self.span: Span | None = None
        """From here to its reply, where traces are wanted."""

    @property
    def deadline(self) -> float:
        """Time of the event loop after which nobody waits for any of it."""
        return max(waiter.deadline for batch in self.batches for waiter in batch.waiters)

    def trace(self, tracing: Tracing, queue: str) -> str:
        """Begin its span, which is linked to those of its requests."""
        known: Attributes = {
            **topology.traced(queue, "send"),
            "messaging.message.id": self.identity,
            "mlhub.requests": self.requests,
        }
        parents = [waiter.trace for batch in self.batches for waiter in batch.waiters]
        self.span = tracing.begin(f"send {queue}", Kind.PRODUCER, parents, known)
        return self.span.traceparent

    @property
    def named(self) -> dict[str, str]:
        """What has a log line name its requests."""
        return logs.of(waiter.request for batch in self.batches for waiter in batch.waiters)
