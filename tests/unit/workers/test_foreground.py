"""What is computed for those that wait is told from what stands back."""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlhub.workers.foreground import Computed, Foreground, Processors, computed_by


class Machine:
    """A machine whose time the test makes pass."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.did: Computed | None = Computed(500.0, 500.0)
        self.foreground = Foreground(lambda: self.did, lambda: self.time)

    def compute(self, seconds: float, foreground: float, background: float) -> None:
        self.time += seconds
        if self.did is not None:
            self.did = Computed(self.did.foreground + foreground, self.did.background + background)


def test_it_is_the_part_of_what_was_computed_since_the_look_before() -> None:
    machine = Machine()
    machine.foreground.share()
    machine.compute(0.5, foreground=10, background=30)
    assert machine.foreground.share() == 0.25
    machine.compute(0.5, foreground=0, background=40)
    assert machine.foreground.share() == 0.0


def test_so_little_time_tells_nothing_new() -> None:
    machine = Machine()
    machine.foreground.share()
    machine.compute(0.5, foreground=10, background=30)
    machine.foreground.share()
    machine.compute(0.01, foreground=1, background=0)
    assert machine.foreground.share() == 0.25


def test_what_was_long_ago_does_not_count() -> None:
    machine = Machine()
    assert machine.foreground.share() == 1.0
    machine.compute(60.0, foreground=0, background=1000)
    assert machine.foreground.share() == 1.0
    machine.compute(0.5, foreground=10, background=30)
    assert machine.foreground.share() == 0.25


def test_a_machine_that_computed_nothing_has_nobody_who_waits() -> None:
    machine = Machine()
    machine.foreground.share()
    machine.compute(0.5, foreground=0, background=0)
    assert machine.foreground.share() == 0.0


def test_where_the_system_does_not_tell_it_is_all_for_others() -> None:
    machine = Machine()
    machine.did = None
    machine.foreground.share()
    machine.compute(0.5, foreground=0, background=0)
    assert machine.foreground.share() == 1.0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_linux_counts_what_stands_back_by_itself() -> None:
    processors = Processors()
    before = processors.computed()
    assert before is not None
    busy = "import os, time; os.nice(10)\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    after = processors.computed()
    assert after is not None
    assert after.background > before.background


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts programs of the name `mongo-here` that compute without an end."""
    program = shutil.copy("/bin/sh", tmp_path / "mongo-here")
    running: list[subprocess.Popen[bytes]] = []

    def start(*before: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([*before, str(program), "-c", "while :; do :; done"])
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_what_a_database_server_computes_is_for_jobs(database: Any) -> None:
    def difference() -> float:
        counted, plain = told.computed(), usual.computed()
        assert counted is not None
        assert plain is not None
        return min(counted.background - plain.background, plain.foreground - counted.foreground)

    told, usual = Processors(databases=frozenset({"mongo-here"})), Processors(databases=frozenset())
    first = database()
    before = difference()
    until(lambda: difference() > before + 20)
    first.kill()
    first.wait()
    assert difference() > before + 20, "what one did that has ended stays done"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_a_database_server_that_stands_back_is_counted_by_linux_alone(database: Any) -> None:
    usual, behind = database(), database("nice", "-n", "10")
    folders = [Path(f"/proc/{process.pid}") for process in (usual, behind)]
    until(lambda: computed_by(folders[0]) > 0 and _user_time(folders[1]) > 0)
    assert computed_by(folders[1]) == 0


def test_a_process_that_has_ended_computes_nothing(tmp_path: Path) -> None:
    assert computed_by(tmp_path) == 0


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    tick = threading.Event()
    while not holds():
        assert time.monotonic() < deadline
        tick.wait(0.01)


def _user_time(process: Path) -> int:
    name, _, fields = (process / "stat").read_text().rpartition(")")
    return int(fields.split()[11]) if name.endswith("(mongo-here") else 0
