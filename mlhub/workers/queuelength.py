"""How many messages wait for job pools, asked over a connection that is kept."""

import threading
from collections.abc import Callable
from typing import Any, Final

from amqp.exceptions import AMQPError
from celery import Celery
from kombu.entity import Queue
from kombu.exceptions import OperationalError

from mlhub.common import topology
from mlhub.common.errors import UnavailableError

_ERRORS: Final = (OperationalError, AMQPError, OSError)


class QueueLength:
    """Asks the broker; for threads that look at queues every so often."""

    def __init__(self, app: Celery, queue_of: Callable[[str], Queue] = topology.jobs_queue) -> None:
        """Remember where to ask.

        Args:
            app: knows the broker.
            queue_of: returns the queue of a backend that is looked at.
        """
        self._app = app
        self._queue_of = queue_of
        self._lock = threading.Lock()
        self._connection: Any = None

    def __call__(self, backend: str) -> int:
        """Return how many messages wait on that queue of a backend.

        Raises:
            UnavailableError: the broker does not answer.
        """
        with self._lock:
            kept = self._connection is not None
            try:
                return self._ask(backend)
            except _ERRORS as error:
                self._drop()
                if not kept:
                    raise _away() from error
            # The broker closes connections that say nothing for long.
            try:
                return self._ask(backend)
            except _ERRORS as error:
                self._drop()
                raise _away() from error

    def _ask(self, backend: str) -> int:
        if self._connection is None:
            self._connection = self._app.connection_for_write()
        queue = self._queue_of(backend)(self._connection.default_channel)
        return int(queue.queue_declare().message_count)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.collapse()


def _away() -> UnavailableError:
    return UnavailableError("The broker does not answer.", code="broker_unavailable")
