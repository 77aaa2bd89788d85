"""The private RabbitMQ node."""

import subprocess
from pathlib import Path
from typing import Any

import kombu
import psutil
import pytest
from amqp.exceptions import AccessRefused

from mlhub.local.ports import free_ports
from mlhub.local.rabbitmq import PORTS, BrokerPorts, RabbitNode


def test_a_message_in_a_durable_queue_survives_a_restart(broker: Any) -> None:
    with kombu.Connection(broker.url) as connection:
        queue = connection.SimpleQueue("test-restart", queue_opts={"durable": True})
        queue.put("still here")
        queue.close()
    broker.stop()
    broker.start()
    with kombu.Connection(broker.url) as connection:
        queue = connection.SimpleQueue("test-restart", queue_opts={"durable": True})
        message = queue.get(timeout=60)
        message.ack()
        queue.close()
        queue.queue(connection.default_channel).delete()
    assert message.payload == "still here"


def test_statistics_end_before_a_node_with_management_stops(managed_broker: Any) -> None:
    before = len(managed_broker.log)
    managed_broker.stop()
    try:
        log = managed_broker.log[before:]
    finally:
        managed_broker.start()
    # After it, that would take five seconds and be broken off.
    assert log.index("to stop collect_statistics") < log.index("stopped TCP listener")
    assert "Message store" in log


def test_it_listens_on_loopback_only(broker: Any) -> None:
    node = psutil.Process(broker.pid)
    listening = [item.laddr.ip for item in node.net_connections("inet") if item.status == psutil.CONN_LISTEN]
    assert len(listening) == 2, "AMQP and other nodes"
    assert set(listening) == {"127.0.0.1"}


def test_a_wrong_password_is_refused(broker: Any) -> None:
    url = broker.url.replace("mlhub:", "mlhub:not-", 1)
    with kombu.Connection(url) as connection, pytest.raises(AccessRefused):
        connection.connect()


def test_the_data_stays_with_the_node_when_its_ports_change(tmp_path: Path) -> None:
    first, second = (
        RabbitNode(tmp_path, BrokerPorts(**free_ports(PORTS, {})), management=False) for _ in range(2)
    )
    assert first.password == second.password
    assert first.url != second.url
    nodes = [node.programs()[1].environment for node in (first, second)]
    assert nodes[0]["RABBITMQ_NODENAME"] == nodes[1]["RABBITMQ_NODENAME"]
    assert nodes[0]["RABBITMQ_MNESIA_BASE"] == nodes[1]["RABBITMQ_MNESIA_BASE"]


def test_only_its_owner_may_read_the_password(tmp_path: Path) -> None:
    RabbitNode(tmp_path, BrokerPorts(1, 2, 3, 4)).programs()
    for name in ("password", "rabbitmq.conf"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0


def test_starting_erlang_beside_it_leaves_no_epmd_behind(broker: Any) -> None:
    environment = psutil.Process(broker.pid).environ() | {"ERL_EPMD_PORT": str(free_ports("a", {})["a"])}
    answer = subprocess.run(
        ["erl", "-sname", "stray", "-noinput", "-s", "erlang", "halt"],  # noqa: S607
        env=environment,
        capture_output=True,
        check=False,
        timeout=60,
    )
    strays = [
        process
        for process in psutil.process_iter(["name"])
        if process.info["name"] == "epmd" and _port(process) == environment["ERL_EPMD_PORT"]
    ]
    assert answer.returncode != 0, "there is no epmd to register with"
    assert strays == []


def _port(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("ERL_EPMD_PORT")
    except psutil.Error:
        return None
