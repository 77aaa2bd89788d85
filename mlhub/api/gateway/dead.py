"""The queue of dead letters: looked at, and emptied letter by letter; blocking."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from amqp.basic_message import Message as Content
from amqp.exceptions import ChannelError, NotFound
from kombu.connection import Connection
from kombu.exceptions import OperationalError

from mlhub.common import topology
from mlhub.common.deadletter import DeadLetter
from mlhub.common.errors import UnavailableError

_TIMEOUT: Final = 5.0
"""Seconds that connecting, or an answer, may take."""
_ADDED: Final = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count")
"""How headers begin that the broker added."""
_QUEUE: Final = topology.DEAD.name

_ARGUMENTS: Final = msgspec.msgpack.Decoder(tuple[list[Any], Any, Any])


class DeadLetterQueue:
    """Takes dead letters in hand, without anybody losing one."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url

    def look(self, limit: int) -> list[DeadLetter]:
        """Return up to `limit` letters, oldest first; they stay where they are.

        Raises:
            UnavailableError: the broker does not answer.
        """
        with self._channel() as channel:
            messages = _messages(channel, limit)
            _put_back(channel, messages)
            return [_letter(message) for message in messages]

    def send_back(
        self, identity: str | None, limit: int, is_wanted: Callable[[DeadLetter], bool]
    ) -> list[DeadLetter]:
        """Put letters back on the queues they came from.

        Args:
            identity: of the only one that is meant; all, if not given.
            limit: how many letters are looked at.
            is_wanted: tells whether there is something left to be done; one for which there is not goes away.

        Returns:
            Those that went back or away.

        Raises:
            UnavailableError: the broker does not answer; what is not done stays.
        """
        done: list[DeadLetter] = []
        with self._channel() as channel:
            letters = [(message, _letter(message)) for message in _messages(channel, limit)]
            queues = {letter.queue for _, letter in letters}
            there = {queue for queue in queues if queue and _is_there(channel.connection, queue)}
            for message, letter in letters:
                if identity not in (None, letter.id) or letter.queue not in there:
                    continue
                if is_wanted(letter):
                    # Confirmed before the letter is dropped: twice is no harm, since work is claimed.
                    channel.basic_publish(_content(message), exchange="", routing_key=letter.queue)
                channel.basic_ack(message.delivery_tag)
                done.append(letter)
            _put_back(channel, letters[len(done) :])
        return done

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        options = {"read_timeout": _TIMEOUT, "confirm_publish": True}
        connection = Connection(self._broker_url, connect_timeout=_TIMEOUT, transport_options=options)
        try:
            with connection:
                # What is not acknowledged when it closes is back in its place.
                yield connection.default_channel
        except (OperationalError, OSError, *connection.connection_errors) as error:
            raise UnavailableError(
                "The message broker does not answer; try again in a moment.",
                code="broker_unavailable",
                retry_after=2,
            ) from error


def _messages(channel: Any, limit: int) -> list[Any]:
    """Take up to `limit` messages in hand."""
    found: list[Any] = []
    try:
        while len(found) < limit and (message := channel.basic_get(_QUEUE)) is not None:
            found.append(message)
    except NotFound:
        # Nothing was ever given up.
        return []
    return found


def _put_back(channel: Any, left: Sequence[object]) -> None:
    """Put what is still in hand back in its place now: closing alone does it a moment later."""
    if left:
        channel.basic_recover(requeue=True)


def _is_there(connection: Any, queue: str) -> bool:
    """Tell whether a queue exists; of a backend that is gone it may not."""
    # On a channel of its own, which the broker closes when it does not.
    channel = connection.channel()
    try:
        channel.queue_declare(queue, passive=True)
    except ChannelError:
        return False
    channel.close()
    return True


def _headers(message: Any) -> dict[str, Any]:
    headers: dict[str, Any] = message.properties.get("application_headers") or {}
    return headers


def _letter(message: Any) -> DeadLetter:
    headers = _headers(message)
    deaths = headers.get("x-death") or [{}]
    # The first in the list is the latest.
    latest = deaths[0]
    moment = latest.get("time")
    return DeadLetter(
        id=str(headers.get("id", "")),
        task=str(headers.get("task", "")),
        queue=str(headers.get("x-first-death-queue") or latest.get("queue", "")),
        records=_records(message.body),
        reason=str(latest.get("reason", "")),
        died_at=moment.replace(tzinfo=UTC) if isinstance(moment, datetime) else None,
    )


def _records(body: Any) -> tuple[str, ...]:
    """Return what a task was to work on; nothing for a message that is none of the hub's."""
    try:
        arguments, _, _ = _ARGUMENTS.decode(body if isinstance(body, bytes) else str(body).encode())
    except msgspec.DecodeError:
        return ()
    first = arguments[0] if arguments else []
    return tuple(str(item) for item in first) if isinstance(first, list) else (str(first),)


def _content(message: Any) -> Content:
    """Return a message as it was before it died."""
    headers = {name: value for name, value in _headers(message).items() if not name.startswith(_ADDED)}
    properties = {**message.properties, "application_headers": headers}
    return Content(message.body, **properties)
