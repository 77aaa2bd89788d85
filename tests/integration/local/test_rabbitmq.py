"""The private RabbitMQ node."""

from typing import Any

import kombu


def test_a_message_in_a_durable_queue_survives_a_restart(broker: Any) -> None:
    with kombu.Connection(broker.url) as connection:
        queue = connection.SimpleQueue("test-restart", queue_opts={"durable": True})
        queue.put("still here")
        queue.close()
    broker.stop()
    broker.start()
    with kombu.Connection(broker.url) as connection:
        queue = connection.SimpleQueue("test-restart", queue_opts={"durable": True})
        message = queue.get(timeout=10)
        message.ack()
        queue.close()
        queue.queue(connection.default_channel).delete()
    assert message.payload == "still here"
