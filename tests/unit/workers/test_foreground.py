"""What is computed for those that wait is told from what stands back."""

import subprocess
import sys

import pytest

from mlhub.workers.foreground import Computed, Foreground, computed


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
    before = computed()
    assert before is not None
    busy = "import os, time; os.nice(10)\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    after = computed()
    assert after is not None
    assert after.background > before.background
