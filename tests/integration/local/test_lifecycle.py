"""What goes wrong when the hub is started, and that nothing is left then."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlhub.local import processes
from mlhub.local.instance import Instance
from mlhub.local.ports import free_ports


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    instance = Instance(tmp_path / "hub")
    yield instance
    processes.stop(instance.folder, patience=20)


def up(instance: Instance, port: int, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlhub", "up", "--port", str(port), "--data", str(instance.folder)],
        env=os.environ | {f"MLHUB_{name}": value for name, value in variables.items()},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_a_port_of_another_program_is_named_with_what_to_do(instance: Instance) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        answer = up(instance, port)
    assert answer.returncode == 1
    assert answer.stderr == (
        f"mlhub: Port {port} is taken by another program; choose a free one: mlhub up --port {port + 1}, "
        f"or make up PORT={port + 1}.\n"
    )
    assert processes.find(instance.folder) == []


def test_a_wrong_setting_is_named(instance: Instance) -> None:
    answer = up(instance, 1, MAX_WAIT="soon")
    assert answer.returncode == 2
    assert answer.stderr.startswith("mlhub: The setting MLHUB_MAX_WAIT ('max_wait' in a TOML file) is wrong:")
    assert not instance.folder.exists()


def test_a_part_that_ends_at_its_start_is_named_with_its_log_and_nothing_is_left(instance: Instance) -> None:
    # A file where the database's folder should be.
    instance.prepare()
    instance.database.mkdir()
    (instance.database / "WiredTiger").mkdir()
    answer = up(instance, free_ports("a", {})["a"])
    assert answer.returncode == 1
    lines = answer.stderr.splitlines()
    (said,) = (number for number, line in enumerate(lines) if line.startswith("mlhub: "))
    assert lines[said].startswith("mlhub: database ended at its start, with 1. The end of ")
    assert len(lines) > said + 1
    assert all(line.startswith("  ") for line in lines[said + 1 :])
    assert processes.find(instance.folder) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_start_that_is_interrupted_leaves_nothing(instance: Instance, number: signal.Signals) -> None:
    port = free_ports("a", {})["a"]
    with subprocess.Popen(
        [sys.executable, "-m", "mlhub", "up", "--port", str(port), "--data", str(instance.folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("waiting for"):
                break
        assert processes.find_watcher(instance.folder) is not None
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=150)
    assert process.returncode not in (0, None)
    assert processes.find(instance.folder) == []
