"""What waits in the queues, as the broker and the database tell."""

from datetime import UTC, datetime
from typing import Any

from amqp.exceptions import NotFound
from kombu.connection import Connection
from kombu.exceptions import OperationalError

from mlhub.common import topology
from mlhub.common.errors import UnavailableError
from mlhub.common.pool import PoolKind
from mlhub.scaling.rules import Sample
from mlhub.storage.predictions import PredictionStore


class Queues:
    """Looks at the queues of pools over one connection, which is made when it is needed."""

    def __init__(self, broker_url: str, predictions: PredictionStore) -> None:
        self._connection = Connection(broker_url, connect_timeout=2)
        self._predictions = predictions

    def look(self, backend: str, kind: PoolKind) -> Sample:
        """Return what waits for a pool; for model servers, what waits for those who call them.

        Raises:
            UnavailableError: the broker or the database does not answer.
        """
        jobs = kind is PoolKind.JOBS
        queues = topology.job_queues(backend) if jobs else (topology.predict_queue(backend),)
        try:
            self._connection.ensure_connection(max_retries=1)
            with self._connection.channel() as channel:
                waiting = sum(
                    int(channel.queue_declare(queue.name, passive=True).message_count) for queue in queues
                )
                if jobs:
                    since = self._predictions.waiting_since(backend)
                else:
                    since = _oldest(channel, queues[0].name) if waiting else None
            age = 0.0 if since is None else (datetime.now(UTC) - since).total_seconds()
            return Sample(waiting, max(age, 0.0))
        except NotFound:
            # Nobody has declared it yet.
            return Sample(0, 0.0)
        except (OperationalError, *self._connection.connection_errors) as error:
            self.close()
            raise UnavailableError("The broker does not answer.", code="broker_unavailable") from error

    def close(self) -> None:
        """Close the connection; another look makes a new one."""
        self._connection.release()


def _oldest(channel: Any, queue: str) -> datetime | None:
    """Look at the message that is next, and leave it where it is.

    Only for queues that do not count deliveries: each look is one.
    """
    message = channel.basic_get(queue)
    if message is None:
        return None
    channel.basic_reject(message.delivery_tag, requeue=True)
    seconds = message.properties.get("timestamp")
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
