"""The doctor, on real parts that are broken on purpose."""

import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import kombu
import msgspec
import pytest

from mlhub.common import topology
from mlhub.common.sampling.management import Access
from mlhub.common.settings import Settings
from mlhub.doctor import database as database_check
from mlhub.doctor.api import look_at_api
from mlhub.doctor.backends import look_at_backends
from mlhub.doctor.broker import look_at_broker
from mlhub.doctor.database import look_at_database
from mlhub.doctor.finding import Finding, State
from mlhub.doctor.management import look_at_management
from mlhub.doctor.store import look_at_folders, look_at_store
from mlhub.storage.copies import CopyStore
from mlhub.storage.database import connect
from mlhub.storage.inspection import Server
from mlhub.storage.models import ModelStore
from mlhub.storage.predictions import PredictionStore
from mlhub.storage.versions import VersionStore

NUMBERS = itertools.count(1)
NOBODY = "127.0.0.1:1"


@pytest.fixture
def backend() -> str:
    """The name of a backend that no other test has."""
    return f"doctor{next(NUMBERS)}"


@pytest.fixture
def settings(broker: Any, backend: str, tmp_path: Path) -> Callable[..., Settings]:
    def make(**changes: Any) -> Settings:
        given = {"broker_url": broker.url, "backends": {backend: {}}, "run_dir": tmp_path}
        return Settings.model_validate(given | changes)

    return make


def named(findings: Iterator[Finding]) -> dict[str, Finding]:
    found = list(findings)
    assert all(bool(finding.advice) == (finding.state is not State.GOOD) for finding in found)
    return {finding.what: finding for finding in found}


@pytest.fixture
def queues(broker: Any, backend: str) -> Iterator[Any]:
    """A channel, and the queues of the backend gone at the end."""
    with kombu.Connection(broker.url) as connection:
        with connection.channel() as channel:
            topology.DEAD(channel).declare()
            yield channel
        with connection.channel() as channel:
            for queue in topology.backend_queues(backend):
                channel.queue_delete(queue.name)


def test_queues_that_nobody_declared(settings: Any, backend: str, queues: Any) -> None:
    found = named(look_at_broker(settings()))
    assert found["broker"].state is State.GOOD
    assert "RabbitMQ 3." in found["broker"].detail or "RabbitMQ 4." in found["broker"].detail
    missing = found[f"queue mlhub.{backend}.predict"]
    assert missing.state is State.BAD
    assert f"mlhub worker --backend {backend} --kind predict" in missing.advice


def test_queues_with_other_arguments_and_without_workers(settings: Any, backend: str, queues: Any) -> None:
    queues.queue_declare(topology.predict_queue_name(backend), durable=True, auto_delete=False)
    topology.jobs_queue(backend)(queues).declare()
    found = named(look_at_broker(settings()))
    other = found[f"queue mlhub.{backend}.predict"]
    assert other.state is State.BAD
    assert "x-max-length" in other.detail
    assert "delete_queue" in other.advice
    idle = found[f"queue mlhub.{backend}.jobs"]
    assert (idle.state, idle.detail) == (State.BAD, "No worker takes from it; 0 messages wait.")
    queues.basic_consume(topology.jobs_queue_name(backend))
    assert named(look_at_broker(settings()))[f"queue mlhub.{backend}.jobs"].state is State.GOOD


def test_a_broker_that_is_away_and_one_that_lets_nobody_in(settings: Any, broker: Any) -> None:
    (away,) = look_at_broker(settings(broker_url=f"amqp://{NOBODY}//"))
    assert (away.state, away.detail) == (State.BAD, f"It does not answer at {NOBODY}.")
    (refused,) = look_at_broker(settings(broker_url=broker.url.replace("mlhub:", "mlhub:wrong")))
    assert refused.state is State.BAD
    assert "name and password" in refused.advice
    (elsewhere,) = look_at_broker(settings(broker_url=f"{broker.url.rstrip('/')}/nowhere"))
    assert "virtual host" in elsewhere.detail
    (unknown,) = look_at_broker(settings(broker_url="amqp://no-such-host.invalid//"))
    assert unknown.detail == "The name of no-such-host.invalid is unknown."


@pytest.fixture
def managed(managed_broker: Any, settings: Any, backend: str) -> Iterator[Callable[..., Settings]]:
    """Settings with a broker whose management API answers, and which has the queues of the backend."""
    with kombu.Connection(managed_broker.url) as connection, connection.channel() as channel:
        topology.DEAD(channel).declare()
        for queue in topology.backend_queues(backend):
            queue(channel).declare()

        def make(**changes: Any) -> Settings:
            urls = {"broker_url": managed_broker.url, "management_url": managed_broker.management_url}
            return settings(**urls | changes)

        yield make
        for queue in topology.backend_queues(backend):
            channel.queue_delete(queue.name)


def test_policies_that_lose_work(managed: Any, backend: str) -> None:
    made = managed()
    access = Access.of(made.management_url, made.broker_url)
    policy = f"{access.url}/api/policies/{access.virtual_host}/forgetful"
    queue = f"queue mlhub.{backend}.jobs"

    def found() -> dict[str, Finding]:
        return named(look_at_management(made))

    assert found()["management"].state is State.GOOD
    assert found()["clocks"].state is State.GOOD
    with access.session() as session:
        forgets = {"pattern": rf"^mlhub\.{backend}\.jobs$", "definition": {"message-ttl": 60000}}
        session.put(policy, json=forgets, timeout=60).raise_for_status()
        try:
            wait_until(lambda: queue in found())
            assert "'forgetful' sets message-ttl" in found()[queue].detail
        finally:
            session.delete(policy, timeout=60).raise_for_status()


def test_a_management_api_that_refuses_or_is_away(managed: Any) -> None:
    place = managed().management_url.partition("://")[2].rpartition("@")[2]
    (refused,) = look_at_management(managed(management_url=f"http://nobody:wrong@{place}"))
    assert refused.state is State.WARNING
    assert refused.detail.endswith("lets the hub's user not in.")
    (away,) = look_at_management(managed(management_url=f"http://{NOBODY}"))
    assert away.state is State.WARNING
    assert list(look_at_management(managed(management_url=None))) == []


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_database_that_is_away(settings: Any) -> None:
    (away,) = look_at_database(settings(mongodb_url=f"mongodb://{NOBODY}/"))
    assert away.state is State.BAD
    assert (NOBODY in away.detail, "MLHUB_MONGODB_URL" in away.advice) == (True, True)
    (wrong,) = look_at_database(settings(mongodb_url="mongodb://hub:se%cret@x"))
    told = (wrong.state, "MLHUB_MONGODB_URL" in wrong.detail, "cret" in wrong.detail)
    assert told == (State.BAD, True, False)


def test_a_database_without_indexes_and_with_them(settings: Any, database: Any) -> None:
    made = settings(mongodb_url=database.url, database=database.name)
    states = [finding.state for finding in look_at_database(made)]
    assert states == [State.GOOD, State.WARNING, State.GOOD]
    opened = connect(database.url, database.name)
    with opened.client:
        for store in (
            ModelStore(opened),
            VersionStore(opened),
            PredictionStore(opened, timedelta(days=1)),
            CopyStore(opened),
        ):
            store.create_indexes()
        assert {finding.state for finding in look_at_database(made)} == {State.GOOD}
        opened["versions"].drop_index("slot_1")
        found = [finding for finding in look_at_database(made) if finding.state is State.WARNING]
        assert [finding.detail for finding in found] == ["It lacks indexes: versions by slot."]


@pytest.mark.parametrize(("seconds", "state"), [(-3, State.WARNING), (30, State.BAD)])
def test_a_clock_that_is_wrong(
    settings: Any, database: Any, monkeypatch: pytest.MonkeyPatch, seconds: int, state: State
) -> None:
    def look(_database: Any) -> Server:
        return Server("8.0.1", datetime.now(UTC) + timedelta(seconds=seconds))

    monkeypatch.setattr(database_check, "look", look)
    found = named(look_at_database(settings(mongodb_url=database.url, database=database.name)))
    assert found["clocks"].state is state
    assert "NTP" in found["clocks"].advice


def test_a_database_that_is_too_old(settings: Any, database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_check, "look", lambda _database: Server("6.0.12", datetime.now(UTC)))
    first = next(look_at_database(settings(mongodb_url=database.url, database=database.name)))
    assert (first.state, first.advice) == (State.BAD, "Upgrade it to MongoDB 7 or newer.")


def test_a_store_that_takes_nothing(settings: Any, tmp_path: Path) -> None:
    (missing,) = look_at_store(settings(bundles=str(tmp_path / "bundles")))
    assert missing.state is State.BAD
    (tmp_path / "file").touch()
    (blocked,) = look_at_store(settings(bundles=str(tmp_path / "file")))
    assert blocked.state is State.BAD
    (tmp_path / "bundles").mkdir()
    (well,) = look_at_store(settings(bundles=str(tmp_path / "bundles")))
    assert well.state is State.GOOD


def test_folders_and_disks(settings: Any, tmp_path: Path, backend: str) -> None:
    gone = {backend: {"repository": str(tmp_path / "gone")}}
    found = named(look_at_folders(settings(backends=gone)))
    assert found[f"repository of {backend}"].state is State.WARNING
    assert found["work folder"].state is State.GOOD
    assert "GiB are free" in found["disk"].detail


@pytest.mark.parametrize(("free", "state"), [(0.5, State.BAD), (50, State.WARNING), (500, State.GOOD)])
def test_a_disk_that_is_full(
    settings: Any, backend: str, monkeypatch: pytest.MonkeyPatch, free: float, state: State
) -> None:
    gib = 1024**3
    usage = SimpleNamespace(total=1000 * gib, used=0, free=int(free * gib))
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)
    assert named(look_at_folders(settings(backends={backend: {}})))["disk"].state is state


class Stranger(BaseHTTPRequestHandler):
    """Answers everything, and is no model server."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    do_POST = do_GET  # noqa: N815 (the library's name)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the library's name)
        pass


@pytest.fixture
def stranger() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_servers_that_are_away_or_something_else(settings: Any, backend: str, stranger: HTTPServer) -> None:
    addresses = [f"http://{NOBODY}", f"http://127.0.0.1:{stranger.server_port}"]
    away, other = look_at_backends(settings(backends={backend: {"addresses": addresses}}))
    assert (away.state, away.detail) == (State.BAD, f"Nothing answers at http://{NOBODY}.")
    assert other.state is State.BAD
    assert "'oip'" in other.advice


def test_a_server_whose_models_are_not_the_hubs_is_well(settings: Any, backend: str, hub: Any) -> None:
    external = {"protocol": "external", "addresses": [hub.server_url]}
    (found,) = look_at_backends(settings(backends={backend: external}))
    assert (found.state, "not the hub's" in found.detail) == (State.GOOD, True)


def test_an_api_that_is_away_or_something_else(settings: Any, stranger: HTTPServer) -> None:
    (away,) = look_at_api(settings(port=1))
    assert away.state is State.WARNING
    (other,) = look_at_api(settings(port=stranger.server_port))
    assert (other.state, other.detail) == (
        State.BAD,
        f"What answers at http://127.0.0.1:{stranger.server_port} is no hub.",
    )


def examine(hub: Any, folder: Path) -> tuple[int, dict[str, Finding]]:
    """Run the command with the settings of the hub's processes."""
    environment = os.environ | hub.parts["api"].environment
    ended = subprocess.run(
        [sys.executable, "-m", "mlhub", "doctor", "--json"],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ended.stderr == ""
    return ended.returncode, named(iter(msgspec.json.decode(ended.stdout, type=list[Finding])))


def test_a_hub_that_is_well_and_then_is_not(hub: Any, published: str, tmp_path: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        code, found = examine(hub, tmp_path)
        if code == 0:
            break
        # On a busy machine a part may take longer to answer than the doctor waits.
        assert time.monotonic() < deadline, found
    assert [finding for finding in found.values() if finding.state is State.BAD] == []
    assert "is well, and has" in found["backend sklearn"].detail
    for name in ("server", "jobs"):
        hub.parts[name].stop()
    try:
        code, found = examine(hub, tmp_path)
    finally:
        for name in ("server", "jobs"):
            hub.parts[name].start()
    assert code == 1
    wrong = {what for what, finding in found.items() if finding.state is State.BAD}
    assert {"backend sklearn", "queue mlhub.sklearn.jobs"} <= wrong
    hub.wait_until(lambda: hub.healthy()["sklearn"], "the health of the backend")
