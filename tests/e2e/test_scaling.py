"""Pools grow and shrink while clients use the hub; no request of theirs fails."""

import collections
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil
import pytest
import requests

from mlhub.client import Client
from mlhub.common.pool import PoolKind
from mlhub.local import processes
from mlhub.local.instance import Instance
from mlhub.local.ports import free_ports

WAIT: Final = 150.0
"""Seconds that something may take, on a machine with other things to do."""
COPIES: Final = 8
"""Models, each with slots of its own: so many batches wait that a queue comes to be."""


class Hub:
    """A hub on this machine, used through its commands and calls."""

    def __init__(self, folder: Path) -> None:
        self.instance = Instance(folder / "data")
        self.url = f"http://127.0.0.1:{free_ports(['api'], {})['api']}"

    def mlhub(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mlhub", *arguments],
            env=os.environ | {"MLHUB_URL": self.url} | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def up(self, pools: dict[str, Any]) -> None:
        where = ("--port", self.url.rpartition(":")[2], "--data", str(self.instance.folder))
        answer = self.mlhub("up", *where, MLHUB_POOLS=msgspec.json.encode(pools).decode())
        assert answer.returncode == 0, answer.stderr

    def programs(self, kind: PoolKind) -> list[psutil.Process]:
        """Processes of a pool; of a model server those that serve."""
        watcher = processes.find_watcher(self.instance.folder)
        assert watcher is not None
        words = {"serve"} if kind is PoolKind.SERVERS else {"worker", kind.value}
        found = [child for child in watcher.children() if words <= set(processes.command_line(child))]
        return found if kind is not PoolKind.SERVERS else [child for one in found for child in children(one)]

    def names(self) -> list[str]:
        return [f"digits{number}" for number in range(COPIES)]


def children(process: psutil.Process) -> list[psutil.Process]:
    """Return the processes that one has started; none of one that has ended just now."""
    try:
        return process.children()
    except psutil.NoSuchProcess:
        return []


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = Hub(tmp_path_factory.mktemp("scaled"))
    try:
        hub.up({"predict": {"maximum": 4}, "servers": {"maximum": 3}})
        yield hub
    finally:
        processes.stop(hub.instance.folder, patience=60)


@pytest.fixture(scope="module")
def client(hub: Hub) -> Iterator[Client]:
    with Client(hub.url) as client:
        yield client


def wait_for(what: Callable[[], object], seconds: float = WAIT) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class Load:
    """Clients that predict one after the other, each as fast as it gets answers."""

    def __init__(self, url: str, names: list[str], pixels: list[int]) -> None:
        self.answers: collections.Counter[str] = collections.Counter()
        self._url = url
        self._body = msgspec.json.encode({"input": pixels})
        self._names = names
        self._ended = threading.Event()

    @contextmanager
    def running(self, count: int) -> Iterator[None]:
        self._ended.clear()
        threads = [threading.Thread(target=self._run, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()

    def _run(self, number: int) -> None:
        path = f"{self._url}/model/{self._names[number % len(self._names)]}/predict"
        headers = {"Content-Type": "application/json", "Prefer": "wait=240"}
        with requests.Session() as session:
            while not self._ended.is_set():
                answer = session.post(path, data=self._body, headers=headers, timeout=300)
                self.answers["good" if answer.ok else answer.text] += 1


@pytest.fixture
def pixels(client: Client) -> list[int]:
    """A picture that the sample model knows."""
    found: list[int] = client.model("digits").meta["held_out"]["pixels"]
    return found


def test_pools_grow_and_shrink_under_load_and_no_request_fails(
    hub: Hub, client: Client, pixels: list[int]
) -> None:
    load = Load(hub.url, ["digits"], pixels)
    with load.running(8):
        jobs = [client.submit("digits", pixels) for _ in range(10)]
        for size in (3, 1):
            sizes = (f"predict={size}", f"servers={size}", f"jobs={min(size, 2)}")
            scaled = hub.mlhub("scale", "sklearn", *sizes, "--json", "--wait", "150")
            assert scaled.returncode == 0, scaled.stderr
            assert msgspec.json.decode(scaled.stdout)["predict"]["actual"] == size
            wait_for(lambda size=size: len(hub.programs(PoolKind.PREDICT)) == size)
            wait_for(lambda size=size: len(hub.programs(PoolKind.SERVERS)) == size)
            before = load.answers["good"]
            wait_for(lambda before=before: load.answers["good"] > before + 20)
    assert set(load.answers) == {"good"}
    assert [job.look(WAIT).status for job in jobs] == ["succeeded"] * len(jobs)


def test_sizes_out_of_bounds_and_pools_that_there_are_not(hub: Hub) -> None:
    refused = hub.mlhub("scale", "sklearn", "predict=5")
    assert refused.returncode == 1
    assert (
        refused.stderr == "mlhub: The pool 'predict' of 'sklearn' has between 1 and 4 processes, so not 5.\n"
    )
    assert hub.mlhub("scale", "sklearn", "gpu=1").returncode == 2
    assert "There is no backend 'caffe'" in hub.mlhub("scale", "caffe").stderr
    shown = hub.mlhub("scale", "sklearn")
    assert [line.split()[0] for line in shown.stdout.splitlines()[1:]] == ["predict", "jobs", "servers"]


def test_sizes_outlive_the_watcher_and_new_bounds_hold(hub: Hub, client: Client) -> None:
    client.scale("sklearn", jobs=2, predict=4)
    watcher = processes.find_watcher(hub.instance.folder)
    assert watcher is not None
    watcher.kill()
    watcher.wait(60)
    hub.up({"predict": {"maximum": 3, "automatic": True, "messages": 1, "pause": 3}})
    wait_for(lambda: client.pools("sklearn").settled and len(hub.programs(PoolKind.JOBS)) == 2)
    wait_for(lambda: client.pools("sklearn").by_kind["predict"].desired <= 3)


@contextmanager
def slow_servers(hub: Hub) -> Iterator[None]:
    """Have the model server compute only a part of the time, as one with large models would."""
    ended = threading.Event()
    (server,) = hub.programs(PoolKind.SERVERS)

    def run() -> None:
        # One that was replaced is slow no more.
        with suppress(psutil.NoSuchProcess):
            while not ended.is_set():
                server.send_signal(signal.SIGSTOP)
                ended.wait(0.4)
                server.send_signal(signal.SIGCONT)
                ended.wait(0.03)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_pool_follows_its_load_and_no_request_fails(hub: Hub, client: Client, pixels: list[int]) -> None:
    bundle = client.download("digits", hub.instance.folder.parent / "digits.tar.gz")
    for name in hub.names():
        client.create(name, type="ScikitLearn")
        assert client.upload(name, bundle).state == "ready"

    def desired() -> int:
        return client.pools("sklearn").by_kind["predict"].desired

    wait_for(lambda: desired() == 1)
    load = Load(hub.url, hub.names(), pixels)
    with load.running(48):
        with slow_servers(hub):
            wait_for(lambda: len(hub.programs(PoolKind.PREDICT)) == 3)
        assert client.pools("sklearn").by_kind["predict"].by == "load"
    with load.running(1):
        wait_for(lambda: desired() == 1 and len(hub.programs(PoolKind.PREDICT)) == 1)
    assert set(load.answers) == {"good"}
