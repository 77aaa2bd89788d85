"""What waits in the queues, as the rules of scaling see it."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import kombu
import pytest

from mlhub.common import topology
from mlhub.common.errors import UnavailableError
from mlhub.common.pool import PoolKind
from mlhub.scaling.queues import Queues
from mlhub.scaling.rules import Sample
from mlhub.storage.database import connect
from mlhub.storage.predictions import PredictionStore

BACKEND = "looked-at"


@pytest.fixture
def predictions(database: Any) -> Iterator[PredictionStore]:
    opened = connect(database.url, database.name)
    yield PredictionStore(opened, timedelta(days=1))
    opened.client.close()


@pytest.fixture
def queues(broker: Any, predictions: PredictionStore) -> Iterator[Queues]:
    queues = Queues(broker.url, predictions)
    yield queues
    queues.close()


@pytest.fixture
def channel(broker: Any) -> Iterator[Any]:
    """A channel, with both queues of the backend declared."""
    with kombu.Connection(broker.url) as connection, connection.channel() as channel:
        topology.DEAD(channel).declare()
        found = topology.backend_queues(BACKEND)
        for queue in found:
            queue(channel).declare()
        yield channel
        for queue in found:
            channel.queue_delete(queue.name)


def publish(channel: Any, queue: str, *, age: int) -> None:
    message = channel.prepare_message(b"{}", properties={"timestamp": int(time.time()) - age})
    channel.basic_publish(message, exchange=topology.EXCHANGE.name, routing_key=queue)


def wait_until_sampled(queues: Queues, kind: PoolKind, waiting: int) -> Sample:
    deadline = time.monotonic() + 60
    while (sample := queues.look(BACKEND, kind)).waiting != waiting:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return sample


def test_a_queue_that_nobody_declared_is_empty(queues: Queues) -> None:
    assert queues.look("nobody", PoolKind.PREDICT) == Sample(0, 0.0)
    assert queues.look("nobody", PoolKind.JOBS) == Sample(0, 0.0)


@pytest.mark.parametrize("kind", [PoolKind.PREDICT, PoolKind.SERVERS])
def test_the_oldest_message_tells_its_age_and_stays_where_it_is(
    queues: Queues, channel: Any, kind: PoolKind
) -> None:
    name = topology.predict_queue_name(BACKEND)
    assert queues.look(BACKEND, kind) == Sample(0, 0.0)
    publish(channel, name, age=100)
    publish(channel, name, age=50)
    for _ in range(3):
        sample = wait_until_sampled(queues, kind, 2)
        assert 100 <= sample.age < 200
    first = channel.basic_get(name)
    assert int(time.time()) - first.properties["timestamp"] >= 100
    channel.basic_ack(first.delivery_tag)
    assert 50 <= wait_until_sampled(queues, kind, 1).age < 100


def test_looking_at_jobs_takes_no_message_since_deliveries_are_counted(queues: Queues, channel: Any) -> None:
    name = topology.jobs_queue_name(BACKEND)
    publish(channel, name, age=100)
    for _ in range(topology.DELIVERY_LIMIT + 2):
        wait_until_sampled(queues, PoolKind.JOBS, 1)
    first = channel.basic_get(name)
    assert not first.delivery_info["redelivered"]
    channel.basic_ack(first.delivery_tag)


def test_a_broker_that_is_away_is_said(predictions: PredictionStore) -> None:
    with pytest.raises(UnavailableError, match="broker does not answer"):
        Queues("amqp://127.0.0.1:1//", predictions).look(BACKEND, PoolKind.PREDICT)
