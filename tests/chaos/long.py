"""The long form of the suite, for `make chaos`: faults in any order for some minutes, longer ones among them.

`MLHUB_CHAOS_MINUTES` says for how many, `MLHUB_CHAOS_SEED` gives another order.
"""

import errno
import os
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.chaos.faults import BETWEEN_HOSTS, FAULTS, LONGER, Fault, Round, full
from tests.chaos.host import Host, NoHostError, another_host
from tests.chaos.judgement import begin, happen, judge
from tests.chaos.scene import Scene, playing

MINUTES: Final = float(os.environ.get("MLHUB_CHAOS_MINUTES", "10"))
SEED: Final = int(os.environ.get("MLHUB_CHAOS_SEED", "1"))
BOUND: Final = 5.0
"""Seconds in which all is well again."""
DISK: Final = 48
"""MiB of a small disk."""


def test_for_a_long_time_clients_notice_no_more_than_they_may(tmp_path: Path) -> None:
    rounds: list[Round] = []
    missed: list[str] = []
    chance = random.Random(SEED)
    with playing(tmp_path) as scene:
        begin(scene)
        end = time.monotonic() + 60 * MINUTES
        while time.monotonic() < end:
            for fault in chance.sample(FAULTS + LONGER, len(FAULTS + LONGER)):
                missed += attempt(scene, fault, rounds)
                time.sleep(chance.uniform(0.0, 2.0))
        told, amiss = judge(scene, rounds)
    print("\n" + told)  # noqa: T201
    assert not missed + amiss, "\n".join(missed + amiss)


def attempt(scene: Scene, fault: Fault, rounds: list[Round]) -> list[str]:
    """Let a fault happen, and return what was amiss; those that follow are to be seen too."""
    try:
        happen(scene, fault, rounds, BOUND)
    except AssertionError as error:
        return [f"{fault.name}: {error}"]
    return []


@pytest.fixture
def host() -> Iterator[Host]:
    """Another host, where this process may make one."""
    with ExitStack() as stack:
        try:
            made = stack.enter_context(another_host())
        except NoHostError as error:
            pytest.skip(f"no network namespace may be made here: {error}")
        yield made


def test_a_link_between_hosts_that_is_unplugged_costs_nothing_that_was_accepted(
    tmp_path: Path, host: Host
) -> None:
    rounds: list[Round] = []
    with playing(tmp_path, host=host) as scene:
        for fault in BETWEEN_HOSTS:
            begin(scene)
            happen(scene, fault, rounds)
        told, amiss = judge(scene, rounds)
    print("\n" + told)  # noqa: T201
    assert not amiss


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of some megabytes, where this process may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ("/bin/mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", str(place)),
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip(f"no disk may be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(("/bin/umount", "--lazy", str(place)), check=True)


def test_a_disk_that_is_full_refuses_uploads_until_there_is_room(tmp_path: Path, small_disk: Path) -> None:
    filler = small_disk / "filler"

    def fill(_: Scene) -> None:
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(64 * 1024))
            except OSError as error:
                assert error.errno == errno.ENOSPC

    rounds: list[Round] = []
    with playing(tmp_path, small_disk / "bundles") as scene:
        begin(scene)
        happen(scene, full("disk full, really", fill, lambda _: filler.unlink()), rounds, BOUND)
        told, amiss = judge(scene, rounds)
    print("\n" + told)  # noqa: T201
    assert not amiss
