"""One connection to RabbitMQ, from its first declaration to its loss."""

import os
import select
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from celery import Celery
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.messaging import Producer

from mlhub.api.gateway.message import Events, Message, Reply
from mlhub.common import topology

_TICK: Final = 1.0
"""Seconds between two looks at the heartbeat when nothing else happens."""
_TRANSIENT: Final = 1
_PERSISTENT: Final = 2
_REPLY: Final = msgspec.msgpack.Decoder(Reply)


class Session:
    """Publishes with confirms and consumes replies, on one connection and in one thread.

    Confirms are taken as they come: publishing never waits for the broker's answer.
    """

    def __init__(
        self,
        app: Celery,
        connection: Connection,
        queues: Iterable[Queue],
        report: Callable[..., None],
        events: Events,
    ) -> None:
        self._app = app
        self._report = report
        self._events = events
        self._amqp: Any = connection.connection
        channel: Any = connection.default_channel
        topology.EXCHANGE(channel).declare()
        topology.DEAD(channel).declare()
        for queue in queues:
            queue(channel).declare()
        # Exclusive: it goes with this connection, and only this process gets its replies.
        replies = Queue("", exclusive=True, auto_delete=True, durable=False)(channel)
        self._reply_to: str = replies.queue_declare().queue
        channel.basic_consume(self._reply_to, no_ack=True, callback=self._on_reply)
        channel.confirm_select()
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)
        self._producer = Producer(channel, exchange=topology.EXCHANGE, auto_declare=False)
        self._tag = 0
        self._unconfirmed: dict[int, str] = {}

    def serve(self, outbox: deque[Message], wake: int, flush: Callable[[], None]) -> None:
        """Work until the connection fails or `wake` is signalled with `None` in the outbox.

        Args:
            outbox: messages to publish.
            wake: event file descriptor that is signalled when the outbox has grown.
            flush: hands the reports of one wake-up to the event loop.
        """
        poll = select.epoll()
        try:
            poll.register(wake, select.EPOLLIN)
            poll.register(self._amqp.sock, select.EPOLLIN)
            while True:
                ready = {descriptor for descriptor, _ in poll.poll(_TICK)}
                if wake in ready:
                    os.eventfd_read(wake)
                    while outbox:
                        message = outbox.popleft()
                        if message is STOP:
                            return
                        self._publish(message)
                self._drain()
                self._amqp.heartbeat_tick()
                flush()
        finally:
            poll.close()

    def _publish(self, message: Message) -> None:
        # Empty representations: computing them from tensors would cost more than the rest together.
        task = self._app.amqp.as_task_v2(
            message.id,
            message.task,
            message.arguments,
            expires=message.expires_in,
            reply_to=self._reply_to if message.expires_in is not None else None,
            argsrepr="",
            kwargsrepr="",
            ignore_result=message.expires_in is None,
        )
        self._tag += 1
        self._unconfirmed[self._tag] = message.id
        self._producer.publish(
            task.body,
            routing_key=message.queue,
            serializer=topology.SERIALIZER,
            headers=task.headers,
            delivery_mode=_TRANSIENT if message.expires_in is not None else _PERSISTENT,
            expiration=message.expires_in,
            **task.properties,
        )

    def _drain(self) -> None:
        """Read everything that has come, without waiting for more."""
        try:
            while True:
                self._amqp.drain_events(timeout=0)
        except TimeoutError:
            pass

    def _on_reply(self, message: Any) -> None:
        reply = _REPLY.decode(message.body)
        self._report(self._events.replied, message.properties["correlation_id"], reply)

    def _on_ack(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 (amqp calls it so)
        for identity in self._settle(tag, multiple=multiple):
            self._report(self._events.confirmed, identity)

    def _on_nack(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 (amqp calls it so)
        for identity in self._settle(tag, multiple=multiple):
            self._report(self._events.refused, identity)

    def _settle(self, tag: int, *, multiple: bool) -> list[str]:
        if not multiple:
            return [self._unconfirmed.pop(tag)]
        settled = [earlier for earlier in self._unconfirmed if earlier <= tag]
        return [self._unconfirmed.pop(earlier) for earlier in settled]


STOP: Final = Message("", "", "", (), None)
"""Put in the outbox to end a session."""
