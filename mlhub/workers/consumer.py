"""How a job worker's consumer differs from Celery's own."""

from typing import Any, ClassVar

from celery import bootsteps
from celery.worker.consumer import Consumer

from mlhub.common import topology


class DeadLetters(bootsteps.StartStopStep):
    """Declares the queue of dead letters whenever the worker connects, since nobody consumes it."""

    requires: ClassVar[set[str]] = {"celery.worker.consumer.connection:Connection"}

    def start(self, parent: Any) -> None:
        """Declare it on the consumer's connection."""
        with parent.connection.channel() as channel:
            topology.DEAD(channel).declare()


class QueueConsumer(Consumer):
    """Celery's consumer without its queues for delayed tasks: retries here go through the sweeper.

    Celery would declare 28 exchanges and queues as soon as it sees a quorum queue.
    """

    class Blueprint(Consumer.Blueprint):
        """The steps, without that one."""

        default_steps: ClassVar[list[str]] = [
            step for step in Consumer.Blueprint.default_steps if "delayed_delivery" not in step
        ]
