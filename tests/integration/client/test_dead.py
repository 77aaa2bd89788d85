"""`mlhub dead` before real dead letters: looked at, tried once more, dropped."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import kombu
import msgspec
import pytest

from mlhub.client import Client
from mlhub.common import topology
from mlhub.common.prediction import PredictionStatus
from mlhub.storage.database import connect, now
from mlhub.storage.work import WorkStore

JOBS = topology.jobs_queue_name("sklearn")
WHY = "Its workers died on it."
DAY = timedelta(days=1)


@pytest.fixture
def give_up(hub: Any, broker: Any, database: Any) -> Iterator[Callable[[str], None]]:
    """Gives a prediction up as a worker does: its record says why, and its message is rejected."""
    db = connect(database.url, "hub")
    work = WorkStore(db, DAY)
    with db.client, kombu.Connection(broker.url) as connection:
        channel: Any = connection.default_channel

        def give_up(identity: str) -> None:
            found: list[Any] = []

            def has_come() -> bool:
                message = channel.basic_get(JOBS)
                found.extend([] if message is None else [message])
                return message is not None

            hub.wait_until(has_come, "the message of the prediction")
            assert identity.encode() in bytes(found[0].body)
            (claim,) = work.claim([identity], "test", DAY)
            (item,) = claim.group.open
            failed = msgspec.structs.replace(
                item, status=PredictionStatus.FAILED, completed_at=now(), error=WHY, dead=True
            )
            work.record([(claim.group, [failed])])
            channel.basic_reject(found[0].delivery_tag, requeue=False)

        yield give_up


def mlhub(hub: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "mlhub", "dead", *arguments),
        capture_output=True,
        text=True,
        env=os.environ | {"MLHUB_URL": hub.url, "COLUMNS": "200"},
        timeout=150,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_dead_letters_are_listed_tried_once_more_and_dropped(
    hub: Any, digits: Any, published: str, give_up: Callable[[str], None]
) -> None:
    with Client(hub.url) as client:
        client.purge(topology.DEAD.name)
        assert mlhub(hub, "list").stdout == "Nothing was given up.\n"
        hub.parts["jobs"].stop()
        try:
            again, dropped = (client.submit(published, digits.rows[row]) for row in (0, 1))
            for job in (again, dropped):
                give_up(job.id)
            listed = mlhub(hub, "list")
            assert listed.returncode == 0, listed.stderr
            assert again.id in listed.stdout
            assert WHY in listed.stdout
            letters = msgspec.json.decode(mlhub(hub, "list", "--json").stdout)
            assert [letter["predictions"] for letter in letters] == [
                [{"id": job.id, "error": WHY}] for job in (again, dropped)
            ]
            retried = mlhub(hub, "retry", letters[0]["id"])
            assert retried.stdout == "1 message went back; 1 prediction is to be done again.\n", (
                retried.stderr
            )
            unsure = mlhub(hub, "empty")
            assert unsure.returncode != 0
            emptied = mlhub(hub, "empty", "--yes")
            assert emptied.stdout == "1 message is gone.\n", emptied.stderr
        finally:
            hub.parts["jobs"].start()
        assert int(again.result(150)) == digits.expected[0]
        assert dropped.record().error == WHY
        nothing = mlhub(hub, "retry", letters[1]["id"])
        assert (nothing.returncode, nothing.stderr.count("\n")) == (1, 1)
