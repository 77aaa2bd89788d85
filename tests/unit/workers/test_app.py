"""How the processes of the two pools are put together."""

import pytest

from mlhub.common import topology
from mlhub.common.settings import Settings, SettingsError
from mlhub.workers import strategy, transport
from mlhub.workers.app import create_worker


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
