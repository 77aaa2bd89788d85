"""Looking at queues by passive declaration: all that AMQP itself tells."""

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from amqp.exceptions import NotFound
from kombu.connection import Connection
from kombu.exceptions import OperationalError

from mlhub.common.errors import UnavailableError
from mlhub.common.operations import QueueState
from mlhub.common.sampling.base import owners

_TIMEOUT: Final = 2.0
"""Seconds that connecting, or an answer, may take."""


class AmqpSampler:
    """Knows how many messages wait and how many workers listen, and of the rest nothing.

    The broker keeps the connection, so that a look costs a round trip for each queue.
    """

    def __init__(self, broker_url: str, backends: Sequence[str]) -> None:
        self._url = broker_url
        self._owners = owners(backends)
        self._connection: Any = None

    def sample(self) -> list[QueueState]:
        """Ask for each queue by name; one that was never declared is empty."""
        try:
            return self._sample()
        except (OperationalError, OSError, *Connection(self._url).connection_errors) as error:
            self.close()
            raise UnavailableError(
                "The message broker does not answer; try again in a moment.",
                code="broker_unavailable",
                retry_after=2,
            ) from error

    def close(self) -> None:
        """Drop the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*connection.connection_errors):
                connection.collect(socket_timeout=_TIMEOUT)

    def _sample(self) -> list[QueueState]:
        if self._connection is None:
            connection = Connection(
                self._url, connect_timeout=_TIMEOUT, transport_options={"read_timeout": _TIMEOUT}
            )
            connection.connect()
            self._connection = connection
        time = datetime.now(UTC)
        return [self._look(name, backend, time) for name, backend in self._owners.items()]

    def _look(self, name: str, backend: str | None, time: datetime) -> QueueState:
        channel = self._connection.default_channel
        try:
            declared = channel.queue_declare(name, passive=True)
        except NotFound:
            # The broker closes the channel for this.
            return QueueState(name=name, backend=backend, oldest_age=0.0, sampled_at=time)
        waiting = int(declared.message_count)
        return QueueState(
            name=name,
            backend=backend,
            ready=waiting,
            consumers=int(declared.consumer_count),
            oldest_age=None if waiting else 0.0,
            sampled_at=time,
        )
