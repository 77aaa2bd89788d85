"""What the tests share: a real broker and a real database, each with folders and ports of its own."""

import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import hypothesis
import kombu
import msgspec
import pytest
import requests

from mlhub.local.database import EmbeddedDatabase
from mlhub.local.ports import free_ports
from mlhub.local.program import Program
from mlhub.local.rabbitmq import PORTS, BrokerPorts, RabbitNode

START: Final = 150.0
"""Seconds a server may take to start, on a machine with other things to do."""

_NUMBERS: Final = itertools.count(1)

# How long an example takes says something of the machine, and not of what is tested. The same examples decide each
# time whether a change is good; MLHUB_EXPLORE=1 looks for new ones.
hypothesis.settings.register_profile(
    "mlhub",
    deadline=None,
    derandomize="MLHUB_EXPLORE" not in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("mlhub")

# Where a container does not tell how many physical cores there are, joblib warns, and warnings are errors.
os.environ.setdefault("LOKY_MAX_CPU_COUNT", str(os.cpu_count()))
# Each further framework costs a hub seconds to start and hundreds of megabytes; tests that need one say so.
os.environ.setdefault("MLHUB_FRAMEWORKS", '["sklearn"]')


class Server:
    """A server of the tests, which they may stop and start again."""

    def __init__(self, url: str, program: Program, log: Path, answers: Callable[[], bool]) -> None:
        self.url = url
        """Where clients connect; the same after a restart."""
        self.management_url: str | None = None
        """Where a broker's management API is, if it has one."""
        self._program = program
        self._log = log
        self._answers = answers
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._program.arguments,
                env=os.environ | self._program.environment,
                cwd=self._log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START
        while not self._answers():
            assert self._process.poll() is None, f"{self._program.name} ended:\n{self._log.read_text()}"
            assert time.monotonic() < deadline, f"{self._program.name} hangs:\n{self._log.read_text()}"
            time.sleep(0.05)

    def stop(self) -> None:
        """Have it end in good order, and wait for it."""
        self._end(kill=False)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(kill=True)

    def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        else:
            process.terminate()
        # Its own patience is for those who wait for it; a busy machine needs more.
        process.wait(START)


class Database(msgspec.Struct, frozen=True):
    """A database that no other test uses."""

    url: str
    """Where clients connect."""
    name: str
    """Its name there."""
    server: Server
    """What serves it, and those of other tests."""


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A RabbitMQ node; a test that stops it starts it again."""
    with running_broker(tmp_path_factory.mktemp("broker")) as server:
        yield server


@pytest.fixture(scope="session")
def managed_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Another RabbitMQ node, with its management API."""
    with running_broker(tmp_path_factory.mktemp("managed"), management=True) as server:
        yield server


@contextmanager
def running_broker(folder: Path, *, management: bool = False) -> Iterator[Server]:
    """Run a RabbitMQ node with its files in a folder."""
    ports = free_ports(PORTS, {})
    node = RabbitNode(folder / "node", BrokerPorts(**ports), management=management)
    epmd, rabbitmq = node.programs()

    def answers() -> bool:
        with kombu.Connection(node.url, connect_timeout=1) as connection:
            try:
                connection.connect()
            except connection.connection_errors:
                return False
        return not management or _listens(ports["management"])

    names = Server("", epmd, folder / "epmd.log", lambda: _listens(ports["epmd"]))
    server = Server(node.url, rabbitmq, folder / "rabbitmq.log", answers)
    server.management_url = node.management_url if management else None
    try:
        names.start()
        server.start()
        yield server
    finally:
        server.kill()
        names.kill()


@pytest.fixture(scope="session")
def object_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that speaks S3's protocol."""
    port = free_ports(("objects",), {})["objects"]
    log = tmp_path_factory.mktemp("objects") / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        deadline = time.monotonic() + START
        while not _listens(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def bucket(object_server: str) -> str:
    """An empty bucket."""
    name = f"bucket{next(_NUMBERS)}"
    requests.put(f"{object_server}/{name}", timeout=60).raise_for_status()
    return name


@pytest.fixture(scope="session")
def database_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An embedded document database; a test that stops it starts it again."""
    with running_database(tmp_path_factory.mktemp("database")) as server:
        yield server


@contextmanager
def running_database(folder: Path) -> Iterator[Server]:
    """Run an embedded document database with its files in a folder."""
    port = free_ports(("database",), {})["database"]
    database = EmbeddedDatabase(folder / "files", port)
    server = Server(database.url, database.program(), folder / "database.log", lambda: _listens(port))
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def database(database_server: Server) -> Database:
    """An empty database."""
    url = f"{database_server.url}&serverSelectionTimeoutMS=60000&socketTimeoutMS=120000"
    return Database(url, f"test{next(_NUMBERS)}", database_server)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
