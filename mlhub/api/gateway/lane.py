"""What goes to the predict pool of one backend: batches of one target, or of several in one message.

Where many models are in use at once, each has few requests, and a message costs as much as a dozen calls to a
model server do. So models that are known to be quick share messages, and the slots for them. A slow one, or
one of which nothing is known, has messages and slots of its own: nobody else waits for it.
"""

from typing import Final

from mlhub.api.gateway.group import Batch, Group, Key, Target, Waiter
from mlhub.api.gateway.meter import BatchMeter
from mlhub.api.gateway.slots import Limits, Slots

_KNOWN: Final = 10_000
"""Groups that are remembered when nothing waits in them."""
_TOGETHER: Final = 32
"""Batches in one message: a worker makes their calls one after the other."""


class Lane:
    """The groups of one backend."""

    def __init__(self, limits: Limits, meter: BatchMeter) -> None:
        self.meter = meter
        self._limits = limits
        self._slots = Slots(limits)
        """Of the messages that several groups share."""
        self._groups: dict[Key, Group] = {}
        self._ready: dict[Key, Group] = {}
        """Those in which something waits; the first is the next."""
        self.scheduled = False
        """Whether the event loop will look at this lane before it waits again."""

    def add(self, target: Target, waiter: Waiter) -> None:
        """Put a request among those that wait."""
        # Names and types of inputs are those of the deployment's signature; only open extents can differ.
        key = (target, tuple([array.shape[1:] for array in waiter.rows.inputs.values()]))
        group = self._groups.get(key)
        if group is None:
            group = self._create(key, target)
        group.waiting.append(waiter)
        self._ready[key] = group

    def put_back(self, batch: Batch) -> None:
        """Have requests wait once more, before those that came later."""
        batch.group.waiting.extendleft(reversed(batch.waiters))
        self._ready[batch.group.key] = batch.group

    def waiting(self) -> list[Waiter]:
        """Return all that wait."""
        return [waiter for group in self._ready.values() for waiter in group.waiting]

    def take(self) -> tuple[Slots, list[Batch]] | None:
        """Take what should go out now in one message, and the slots it counts among."""
        quick = 0
        for group in self._ready.values():
            if group.quick:
                quick += len(group.waiting)
            elif group.slots.ripe(len(group.waiting)):
                return group.slots, self._collect([group])
        if self._slots.ripe(quick):
            return self._slots, self._collect([group for group in self._ready.values() if group.quick])
        return None

    def _collect(self, groups: list[Group]) -> list[Batch]:
        batches: list[Batch] = []
        rows, size = self._limits.rows, self._limits.size
        for group in groups[:_TOGETHER]:
            waiters = group.take(rows, size, alone=not batches)
            if waiters:
                batch = Batch(group, waiters)
                batches.append(batch)
                rows, size = rows - batch.rows, size - batch.size
            # What is left of it comes after the others.
            del self._ready[group.key]
            if group.waiting:
                self._ready[group.key] = group
                break
        return batches

    def _create(self, key: Key, target: Target) -> Group:
        if len(self._groups) >= _KNOWN:
            oldest = next((known for known in self._groups if known not in self._ready), None)
            if oldest is not None:
                del self._groups[oldest]
        group = self._groups[key] = Group(key, target, self._limits)
        return group
