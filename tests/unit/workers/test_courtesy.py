"""Jobs pause where others want the processors, one at a time, and not for long."""

import sys
import threading

import pytest

from mlhub.workers.courtesy import Courtesy, Times, thread_times


class Machine:
    """A machine whose time the test makes pass."""

    def __init__(self, patience: float = 60.0) -> None:
        self.time = 0.0
        self.times: Times | None = Times(0.0, 0.0)
        self.pauses: list[float] = []
        self.others = 1.0
        self.courtesy = Courtesy(
            lambda: self.times, self.pauses.append, lambda: self.time, patience, lambda: self.others
        )

    def work(self, seconds: float, computing: float, waiting: float) -> None:
        with self.courtesy.working():
            self.time += seconds
            if self.times is not None:
                self.times = Times(self.times.computing + computing, self.times.waiting + waiting)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_work_on_a_machine_that_has_nothing_else_to_do_goes_on(machine: Machine) -> None:
    machine.work(0.2, computing=0.05, waiting=0.001)
    machine.work(0.2, computing=0.0001, waiting=0.0005)
    assert machine.pauses == []


def test_work_that_waited_for_a_processor_is_followed_by_a_pause_in_proportion_and_not_for_long(
    machine: Machine,
) -> None:
    machine.work(0.05, computing=0.01, waiting=0.01)
    machine.work(60.0, computing=0.01, waiting=0.03)
    machine.work(60.0, computing=0.01, waiting=0.0)
    assert machine.pauses == [pytest.approx(0.2), pytest.approx(0.5)]


def test_jobs_that_are_only_in_each_others_way_go_on(machine: Machine) -> None:
    machine.others = 0.05
    machine.work(0.05, computing=0.01, waiting=0.04)
    assert machine.pauses == []
    machine.others = 0.5
    machine.work(0.05, computing=0.01, waiting=0.04)
    assert machine.pauses == [pytest.approx(0.2)]


def test_short_pieces_of_work_tell_together(machine: Machine) -> None:
    for _ in range(9):
        machine.work(0.01, computing=0.0001, waiting=0.0001)
    assert machine.pauses == [pytest.approx(0.04)] * 5
    assert machine.courtesy.contended


def test_where_the_system_does_not_tell_there_is_no_pause(machine: Machine) -> None:
    machine.times = None
    machine.work(1.0, computing=0.0, waiting=0.0)
    assert machine.pauses == []


def test_where_processors_are_wanted_threads_work_one_at_a_time(machine: Machine) -> None:
    machine.work(0.05, computing=0.01, waiting=0.01)
    ended = threading.Event()

    def other() -> None:
        with machine.courtesy.working():
            ended.set()

    with machine.courtesy.working():
        thread = threading.Thread(target=other)
        thread.start()
        while machine.courtesy.waiting == 0:
            assert not ended.wait(0.001)
    thread.join(60)
    assert ended.is_set()


def test_small_work_waits_for_nobodys_turn(machine: Machine) -> None:
    machine.work(0.05, computing=0.01, waiting=0.01)
    ended = threading.Event()

    def other() -> None:
        with machine.courtesy.working(is_small=True):
            ended.set()

    with machine.courtesy.working():
        thread = threading.Thread(target=other)
        thread.start()
        assert ended.wait(60)
    thread.join(60)


def test_work_that_takes_long_holds_nobody_up_for_as_long() -> None:
    machine = Machine(patience=0.01)
    machine.work(0.05, computing=0.01, waiting=0.01)
    ended = threading.Event()

    def other() -> None:
        with machine.courtesy.working():
            ended.set()

    with machine.courtesy.working():
        thread = threading.Thread(target=other)
        thread.start()
        assert ended.wait(60)
    thread.join(60)


def test_work_that_fails_leaves_its_place_to_others(machine: Machine) -> None:
    machine.work(0.05, computing=0.01, waiting=0.01)
    with pytest.raises(ValueError, match="wrong"), machine.courtesy.working():
        raise ValueError("wrong")
    machine.work(0.05, computing=0.01, waiting=0.0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_linux_tells_what_a_thread_did() -> None:
    before = thread_times()
    assert before is not None
    sum(range(10**6))
    after = thread_times()
    assert after is not None
    assert after.computing > before.computing
