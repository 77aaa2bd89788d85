"""One connection to RabbitMQ, from its declaration to its loss."""

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from amqp import spec
from amqp.basic_message import Message as Content
from celery import Celery
from kombu.entity import Queue

from mlhub.api.gateway.message import Events, Message, Reply
from mlhub.api.gateway.stream import Stream
from mlhub.common import topology

_HEARTBEAT: Final = 10
"""Seconds; a broker that says nothing for two of them is gone."""
_CONNECT: Final = 4
"""Seconds one attempt to connect may take."""
_HEARD: Final = {"x-message-ttl": 10_000, "x-max-length": 10_000}
"""Of the queue for signs of life: they are of no use when they are old."""
_REPLY: Final = msgspec.msgpack.Decoder(Reply)


class Session:
    """Publishes with confirms and consumes replies.

    It is made in a thread, since declaring waits for the broker; from `attach` on it belongs to the event
    loop, where neither publishing nor its confirms wait for anything.
    """

    def __init__(self, app: Celery, queues: Iterable[Queue], events: Events) -> None:
        self._events = events
        self._connection = app.connection_for_write(
            heartbeat=_HEARTBEAT,
            connect_timeout=_CONNECT,
            transport_options={
                "on_blocked": lambda _reason: events.blocked(True),  # noqa: FBT003
                "on_unblocked": lambda: events.blocked(False),  # noqa: FBT003
            },
        )
        try:
            self._declare(queues)
        except BaseException:
            self._connection.release()
            raise
        self._stream: Stream | None = None
        self._tag = 0
        self._unconfirmed: dict[int, str] = {}

    def _declare(self, queues: Iterable[Queue]) -> None:
        channel: Any = self._connection.default_channel
        topology.EXCHANGE(channel).declare()
        topology.DEAD(channel).declare()
        for queue in queues:
            queue(channel).declare()
        # Exclusive: it goes with this connection, and only this process gets its replies.
        replies = Queue("", exclusive=True, auto_delete=True, durable=False)(channel)
        self._reply_to: str = replies.queue_declare().queue
        channel.basic_consume(self._reply_to, no_ack=True, callback=self._on_reply)
        self._listen(channel)
        channel.confirm_select()
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)
        self._channel = channel

    def _listen(self, channel: Any) -> None:
        """Have all signs of life of the hub's processes come here."""
        topology.EVENTS(channel).declare()
        heard = Queue("", exclusive=True, auto_delete=True, durable=False, queue_arguments=_HEARD)(channel)
        name = heard.queue_declare().queue
        for key in (topology.WORKER_EVENTS, topology.API_HEARTBEAT):
            channel.queue_bind(name, topology.EVENTS.name, key)
        channel.basic_consume(name, no_ack=True, callback=lambda message: self._events.heard(message.body))

    def attach(self, lost: Callable[[Exception], None]) -> None:
        """Have the running event loop work the connection; `lost` is told when it is gone."""
        self._stream = Stream(self._connection.connection, lost)

    def detach(self) -> None:
        """Say goodbye, unless it is lost, and take it from the event loop."""
        stream, self._stream = self._stream, None
        if stream is not None and stream.is_open:
            with contextlib.suppress(*self._connection.connection_errors):
                self._connection.connection.send_method(spec.Connection.Close, "BsBB", (0, "", 0, 0))
            stream.close()

    @property
    def product(self) -> str:
        """Name and version of the broker."""
        properties = self._connection.connection.server_properties or {}
        return " ".join(str(properties[name]) for name in ("product", "version") if name in properties)

    def close(self) -> None:
        """Drop the connection; RabbitMQ removes the reply queue with it."""
        self._connection.collect()

    def publish(self, message: Message) -> None:
        """Send a message; what becomes of it is told as an event."""
        for_reply = message.expires_in is not None
        # With a time, so that the broker can tell how old what waits is.
        properties: dict[str, Any] = {"correlation_id": message.id, "timestamp": int(time.time())}
        if message.expires_in is not None:
            properties |= {
                "reply_to": self._reply_to,
                "expiration": str(int(message.expires_in * 1000)),
            }
        content = Content(
            topology.task_body(message.arguments),
            content_type=topology.CONTENT_TYPE,
            content_encoding="binary",
            delivery_mode=topology.TRANSIENT if for_reply else topology.PERSISTENT,
            application_headers=topology.task_headers(message.id, message.task, message.expires_in),
            **properties,
        )
        self._publish(topology.EXCHANGE.name, message.queue, content, message.id)

    def beat(self, body: bytes) -> None:
        """Send this process's own sign of life."""
        content = Content(body, content_type="application/json", content_encoding="utf-8", delivery_mode=1)
        self._publish(topology.EVENTS.name, topology.API_HEARTBEAT, content, "")

    def _publish(self, exchange: str, key: str, content: Content, identity: str) -> None:
        self._tag += 1
        self._unconfirmed[self._tag] = identity
        try:
            # The channel's own `basic_publish` looks for incoming frames first, which the stream does here.
            arguments = (0, exchange, key, False, False)
            self._channel.send_method(spec.Basic.Publish, "Bssbb", arguments, content)
        except (*self._connection.connection_errors, AttributeError) as error:
            # py-amqp raises the latter on a connection that has just been lost.
            if self._stream is not None:
                self._stream.fail(error)

    def _on_reply(self, message: Any) -> None:
        self._events.replied(message.properties["correlation_id"], _REPLY.decode(message.body))

    def _on_ack(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 (amqp calls it so)
        for identity in self._settle(tag, multiple=multiple):
            self._events.confirmed(identity)

    def _on_nack(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 (amqp calls it so)
        for identity in self._settle(tag, multiple=multiple):
            self._events.refused(identity)

    def _settle(self, tag: int, *, multiple: bool) -> list[str]:
        if not multiple:
            return [self._unconfirmed.pop(tag)]
        settled = [earlier for earlier in self._unconfirmed if earlier <= tag]
        return [self._unconfirmed.pop(earlier) for earlier in settled]
