"""Queues are seen alike by every sampler, each as far as it can see."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Producer

from mlhub.common import topology
from mlhub.common.errors import UnavailableError
from mlhub.common.operations import QueueState
from mlhub.common.sampling import QueueSampler, create_sampler
from mlhub.common.sampling.amqp import AmqpSampler
from mlhub.common.sampling.management import ManagementSampler
from mlhub.common.settings import Settings


@pytest.fixture(params=["amqp", "management"])
def sampler(request: pytest.FixtureRequest, managed_broker: Any) -> Iterator[QueueSampler]:
    made: QueueSampler = (
        AmqpSampler(managed_broker.url, ("here", "there"))
        if request.param == "amqp"
        else ManagementSampler(managed_broker.management_url, managed_broker.url, ("here", "there"))
    )
    yield made
    made.close()


@pytest.fixture
def messages(managed_broker: Any) -> Iterator[Any]:
    """Three messages in each queue of one backend, and nobody who takes them."""
    with Connection(managed_broker.url) as connection:
        channel = connection.default_channel
        topology.DEAD(channel).declare()
        producer = Producer(channel, exchange=topology.EXCHANGE)
        for queue in topology.backend_queues("here"):
            queue(channel).declare()
            for _ in range(3):
                producer.publish(b"", routing_key=queue.name, timestamp=1_700_000_000)
        yield channel
        for queue in topology.backend_queues("here"):
            queue(channel).delete()


def seen(sampler: QueueSampler, waiting: int) -> dict[str, QueueState]:
    """Look until so many messages are seen: the management's numbers are those of two seconds ago."""

    def there(found: dict[str, QueueState]) -> bool:
        names = [queue.name for queue in topology.backend_queues("here")]
        return all(found[name].ready == waiting for name in names)

    return seen_until(sampler, there)


def seen_until(
    sampler: QueueSampler, holds: Callable[[dict[str, QueueState]], bool]
) -> dict[str, QueueState]:
    deadline = time.monotonic() + 60
    while True:
        found = {queue.name: queue for queue in sampler.sample()}
        if holds(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_all_queues_are_seen_also_those_nobody_listens_to(sampler: QueueSampler, messages: Any) -> None:
    found = seen(sampler, 3)
    assert [(queue.name, queue.backend) for queue in found.values()] == [
        ("mlhub.here.predict", "here"),
        ("mlhub.here.jobs", "here"),
        ("mlhub.here.backlog", "here"),
        ("mlhub.there.predict", "there"),
        ("mlhub.there.jobs", "there"),
        ("mlhub.there.backlog", "there"),
        ("mlhub.dead", None),
    ]
    assert {queue.consumers for queue in found.values()} == {0}
    assert found["mlhub.there.predict"].ready == 0, "one that was never declared is empty"
    assert found["mlhub.there.predict"].oldest_age == 0
    assert all(queue.sampled_at is not None for queue in found.values())


def test_samplers_go_on_after_the_broker_was_away(managed_broker: Any) -> None:
    url, page = managed_broker.url, managed_broker.management_url
    samplers: list[QueueSampler] = [AmqpSampler(url, ("here",)), ManagementSampler(page, url, ("here",))]
    for sampler in samplers:
        sampler.sample()
    managed_broker.kill()
    try:
        for sampler in samplers:
            with pytest.raises(UnavailableError) as raised:
                sampler.sample()
            assert raised.value.code == "broker_unavailable"
    finally:
        managed_broker.start()
    for sampler in samplers:
        assert "mlhub.dead" in {queue.name for queue in answered(sampler)}
        sampler.close()


def answered(sampler: QueueSampler) -> Sequence[QueueState]:
    """Try until the broker answers: its management starts a moment after the rest."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return sampler.sample()
        except UnavailableError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_management_tells_what_is_held_and_since_when_messages_wait(
    managed_broker: Any, messages: Any
) -> None:
    sampler = ManagementSampler(managed_broker.management_url, managed_broker.url, ("here",))
    found = seen(sampler, 3)["mlhub.here.predict"]
    assert found.oldest_age is not None
    assert found.oldest_age > 1_000_000
    assert messages.basic_get("mlhub.here.predict") is not None
    held = seen_until(sampler, lambda found: found["mlhub.here.predict"].unacknowledged == 1)[
        "mlhub.here.predict"
    ]
    assert held.ready == 2
    assert held.publish_rate is not None
    sampler.close()


def test_amqp_does_not_claim_to_know_what_it_does_not(managed_broker: Any, messages: Any) -> None:
    sampler = AmqpSampler(managed_broker.url, ("here",))
    found = seen(sampler, 3)["mlhub.here.jobs"]
    assert (found.ready, found.unacknowledged, found.publish_rate, found.oldest_age) == (3, None, None, None)
    sampler.close()


@pytest.mark.parametrize("user", ["", "mlhub:wrong@"])
def test_where_the_management_refuses_amqp_takes_its_place(
    managed_broker: Any, messages: Any, user: str
) -> None:
    address = managed_broker.management_url.replace("//", f"//{user}") if user else "http://127.0.0.1:9"
    settings = Settings(broker_url=managed_broker.url, management_url=address)
    sampler = create_sampler(settings)
    assert "mlhub.dead" in {queue.name for queue in sampler.sample()}
    sampler.close()


def test_a_password_of_the_management_is_in_no_error(managed_broker: Any, tmp_path: Path) -> None:
    url = managed_broker.management_url.replace("//", "//mlhub:hunter2@")
    with pytest.raises(UnavailableError) as raised:
        ManagementSampler(url, managed_broker.url, ()).sample()
    assert str(raised.value) == "The broker's management API answers 401."
