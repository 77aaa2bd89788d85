"""The embedded document database."""

import tomllib
from pathlib import Path
from typing import Any

import psutil
import pymongo
import pytest

from mlhub.local.database import EmbeddedDatabase


def test_acknowledged_writes_survive_a_crash(database: Any) -> None:
    with pymongo.MongoClient[dict[str, Any]](database.url) as client:
        client[database.name].things.insert_many([{"_id": number} for number in range(50)])
        for number in range(50, 100):
            client[database.name].things.insert_one({"_id": number})
    database.server.kill()
    database.server.start()
    with pymongo.MongoClient[dict[str, Any]](database.url) as client:
        assert client[database.name].things.count_documents({}) == 100


@pytest.mark.parametrize("attempt", [1, 2])
def test_every_test_has_an_empty_database(database: Any, attempt: int) -> None:
    with pymongo.MongoClient[dict[str, Any]](database.url) as client:
        assert client[database.name].list_collection_names() == []
        client[database.name].things.insert_one({"attempt": attempt})


def test_it_listens_on_loopback_only(database: Any) -> None:
    connections = psutil.Process(database.server.pid).net_connections("inet")
    assert {item.laddr.ip for item in connections if item.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


def test_it_reads_no_configuration_but_its_own(tmp_path: Path) -> None:
    arguments = EmbeddedDatabase(tmp_path / "database", 1).program().arguments
    configuration = Path(arguments[arguments.index("--config") + 1])
    assert tomllib.loads(configuration.read_text()) == {"storage": {"ttl_sweep_seconds": 0}}
