"""How the workers' consumer differs from Celery's own."""

from functools import partial
from typing import Any, ClassVar, Final
from uuid import uuid4

from celery import bootsteps
from celery.app.control import Control
from celery.worker.consumer import Consumer
from kombu.entity import Queue
from kombu.pidbox import Mailbox

from mlhub.common import topology

_FIRST: Final = 0.2
_LONGEST: Final = 1.0
"""Seconds between attempts to connect."""
_UNSAID: Final = "…"
"""In place of a body."""


class DeadLetters(bootsteps.StartStopStep):
    """Declares the queue of dead letters whenever the worker connects, since nobody consumes it."""

    requires: ClassVar[set[str]] = {"celery.worker.consumer.connection:Connection"}

    def start(self, parent: Any) -> None:
        """Declare it on the consumer's connection."""
        with parent.connection.channel() as channel:
            topology.DEAD(channel).declare()


class PassingMailbox(Mailbox):
    """A mailbox for remote control whose queue goes with its connection.

    The queue is the connection's own. After a network was cut the broker may keep the old connection for
    minutes, and a queue of the same name would be refused to the worker that is back: Celery ends it then.
    """

    def get_queue(self, hostname: str) -> Queue:
        """Return a queue that there was none of before."""
        queue: Queue = super().get_queue(f"{hostname}.{uuid4().hex[:12]}")  # type: ignore[no-untyped-call]
        return queue


class PassingControl(Control):
    """Celery's remote control, with such mailboxes."""

    Mailbox = PassingMailbox


class QueueConsumer(Consumer):
    """Celery's consumer, quicker to be back, and without its queues for delayed tasks.

    Of several queues each has its part of the pool's threads, so that what is on one never waits until those
    are free that hold messages of another.

    Retries here go through the sweeper; Celery would declare 28 exchanges and queues for them as soon as
    it sees a quorum queue.
    """

    def __init__(self, *arguments: Any, initial_prefetch_count: int = 1, **options: Any) -> None:
        super().__init__(*arguments, initial_prefetch_count=initial_prefetch_count, **options)
        self.initial_prefetch_count = self._part(initial_prefetch_count)

    @property
    def max_prefetch_count(self) -> int:
        """Messages that it has in hand of each queue; Celery goes back to it with each new connection."""
        return self._part(super().max_prefetch_count)

    def _part(self, count: int) -> int:
        # With quorum queues the broker counts for each queue by itself.
        return max(1, count // len(self.app.conf.task_queues))

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, with short pauses: Celery's own grow to half a minute, while clients wait."""
        conn.ensure_connection = partial(
            conn.ensure_connection, interval_start=_FIRST, interval_step=_FIRST, interval_max=_LONGEST
        )
        return super().ensure_connected(conn)

    # What Celery says of messages that it cannot use has their bodies in it, and so what clients sent: such
    # messages come when newer parts of the hub speak to older ones.

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Reject what is no task."""
        del body
        super().on_unknown_message(_UNSAID, message)

    def on_unknown_task(self, body: Any, message: Any, exc: Any) -> None:
        """Reject a task that this worker does not have."""
        del body
        super().on_unknown_task(_UNSAID, message, exc)

    def on_invalid_task(self, body: Any, message: Any, exc: Any) -> None:
        """Reject a task that is not as it should be."""
        del body
        super().on_invalid_task(_UNSAID, message, exc)

    class Blueprint(Consumer.Blueprint):
        """The steps, without that one, and without the heartbeat: the hub has its own."""

        default_steps: ClassVar[list[str]] = [
            step
            for step in Consumer.Blueprint.default_steps
            if "delayed_delivery" not in step and not step.endswith(":Heart")
        ]
