"""An object store for the tests: moto's server, as a process of its own."""

import itertools
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

import pytest
import requests

from mlhub.local.ports import free_ports

START: Final = 60.0
_NUMBERS: Final = itertools.count(1)


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


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
