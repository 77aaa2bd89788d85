"""How the processes of the two pools are put together."""

from types import SimpleNamespace

import pytest
from celery.concurrency.thread import TaskPool
from celery.utils.quorum_queues import detect_quorum_queues

from mlhub.common import topology
from mlhub.common.settings import Settings, SettingsError
from mlhub.workers import strategy, transport
from mlhub.workers.app import Kind, create_worker
from mlhub.workers.consumer import QueueConsumer


def test_batches_take_the_short_way_where_the_connection_allows_it() -> None:
    plain = create_worker(Settings(broker_url="amqp://127.0.0.1:1//"), "sklearn", "predict")
    assert plain.tasks[topology.PREDICT].Strategy == strategy.NAME
    assert plain.tasks[topology.PROBE].Strategy != strategy.NAME
    assert plain.conf.broker_transport == transport.NAME
    encrypted = create_worker(Settings(broker_url="amqps://127.0.0.1:1//"), "sklearn", "predict")
    assert encrypted.tasks[topology.PREDICT].Strategy != strategy.NAME
    assert encrypted.conf.broker_transport is None


def test_an_unknown_backend_is_named() -> None:
    with pytest.raises(SettingsError, match="'caffe'"):
        create_worker(Settings(), "caffe", "predict")


@pytest.mark.parametrize(("kind", "part"), [("jobs", 4), ("predict", 8)])
def test_what_waits_on_one_queue_has_threads_that_messages_of_another_do_not_take(
    kind: Kind, part: int
) -> None:
    app = create_worker(Settings(broker_url="amqp://127.0.0.1:1//"), "sklearn", kind)
    controller = SimpleNamespace(use_eventloop=False)
    consumer = QueueConsumer(None, app=app, pool=TaskPool(8), controller=controller, initial_prefetch_count=8)
    assert consumer.initial_prefetch_count == part
    assert consumer.max_prefetch_count == part, "with each new connection, too"
    # It is of each queue: of all together it would be where the broker counted for the whole channel.
    assert len(app.conf.task_queues) * part == 8
    assert kind == "predict" or detect_quorum_queues(app, "amqp")[0]
