"""Emptying a queue: nobody who waits for what was in it is left waiting."""

from typing import Any, Final

import msgspec
from amqp.basic_message import Message as Content
from amqp.exceptions import NotFound
from celery import states
from kombu.connection import Connection
from kombu.exceptions import OperationalError

from mlhub.common import topology
from mlhub.common.errors import UnavailableError

_TIMEOUT: Final = 5.0
"""Seconds that connecting, or an answer, may take."""
_REVOKED: Final = msgspec.msgpack.encode({"status": states.REVOKED, "result": None})
"""Celery's word for a task that is not to be done any more, in the form of its replies."""


def purge(broker_url: str, queue: str) -> int:
    """Take all messages from a queue that wait there now; blocking.

    Each that somebody waits for is answered, as revoked.

    Args:
        broker_url: the broker.
        queue: name of the queue; one that does not exist is empty.

    Returns:
        How many messages there were.

    Raises:
        UnavailableError: the broker does not answer.
    """
    connection = Connection(
        broker_url, connect_timeout=_TIMEOUT, transport_options={"read_timeout": _TIMEOUT}
    )
    try:
        with connection:
            return _purge(connection.default_channel, queue)
    except (OperationalError, OSError, *connection.connection_errors) as error:
        raise UnavailableError(
            "The message broker does not answer; part of the queue may have been emptied.",
            code="broker_unavailable",
            retry_after=2,
        ) from error


def _purge(channel: Any, queue: str) -> int:
    try:
        waiting = int(channel.queue_declare(queue, passive=True).message_count)
    except NotFound:
        return 0
    taken = 0
    # Not longer than that: under load there would be no end.
    while taken < waiting:
        message = channel.basic_get(queue, no_ack=True)
        if message is None:
            break
        taken += 1
        _answer(channel, message)
    return taken


def _answer(channel: Any, message: Any) -> None:
    reply_to = message.properties.get("reply_to")
    if reply_to is None:
        return
    answer = Content(
        _REVOKED,
        correlation_id=message.properties.get("correlation_id"),
        content_type=topology.CONTENT_TYPE,
        content_encoding="binary",
        delivery_mode=topology.TRANSIENT,
    )
    channel.basic_publish(answer, exchange="", routing_key=reply_to)
