"""The workers' transport takes all that comes at once, since nothing wakes the loop for what it left."""

import select
from typing import Any

import kombu

from mlhub.workers import transport

COUNT = 20


def test_messages_that_come_together_are_all_handled_at_once(broker: Any) -> None:
    with (
        kombu.Connection(broker.url) as sending,
        kombu.Connection(broker.url, transport=transport.NAME) as connection,
    ):
        name = "test-transport"
        with sending.SimpleQueue(name) as queue:
            for number in range(COUNT):
                queue.put(number)
        got: list[int] = []
        channel: Any = connection.default_channel
        consumer = kombu.Consumer(channel, [kombu.Queue(name)], accept=["json"], no_ack=True)
        consumer.register_callback(lambda body, _message: got.append(body))
        # Answers are waited for here, and messages may come with them.
        consumer.consume()
        amqp = connection.connection
        while len(got) < COUNT:
            readable, _, _ = select.select([amqp.sock], [], [], 60)
            assert readable, f"only {len(got)} came"
            connection.transport.on_readable(amqp, None)
            # Whatever is whole by now was handled.
            assert amqp.transport._frames.next() is None  # noqa: SLF001
        assert got == list(range(COUNT))
        channel.queue_delete(name)
