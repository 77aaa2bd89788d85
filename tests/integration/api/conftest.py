"""Means of the API's tests to bring about what seldom happens."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import kombu
import pytest

from mlhub.common import topology


@pytest.fixture
def fill_queue(broker: Any) -> Callable[[], AbstractContextManager[None]]:
    """Fills the predict queue to its limit, and empties it again."""

    @contextmanager
    def fill() -> Iterator[None]:
        with kombu.Connection(broker.url) as connection:
            channel = connection.default_channel
            producer = kombu.Producer(channel)
            for _ in range(topology.PREDICT_MAX_LENGTH + 1):
                producer.publish(b"", routing_key=topology.predict_queue_name("sklearn"))
            queue = topology.predict_queue("sklearn")(channel)
            deadline = time.monotonic() + 150
            while queue.queue_declare().message_count < topology.PREDICT_MAX_LENGTH:
                assert time.monotonic() < deadline
            try:
                yield
            finally:
                queue.purge()

    return fill
