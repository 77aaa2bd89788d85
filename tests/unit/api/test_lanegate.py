"""Work is announced as it comes while workers keep up, and waits for its turn when they do not."""

import time
from collections.abc import Sequence

import pytest

from mlhub.api import lanegate
from mlhub.api.lanegate import LaneGate
from mlhub.storage.groups import name_at


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def monotonic(self) -> float:
        return self.time


class Lanes:
    """What all processes know."""

    def __init__(self) -> None:
        self.held: dict[str, list[str]] = {}
        self.recalled: list[str] = []
        self.done = False

    def hold(self, name: str, backend: str, group: str) -> None:
        assert backend == "b"
        self.held.setdefault(name, []).append(group)

    def recall(self, name: str, backend: str, group: str) -> None:
        assert backend == "b"
        self.recalled.append(group)

    def is_held(self, name: str) -> bool:
        return name in self.held

    def unfinished(self, groups: Sequence[str]) -> int:
        return 0 if self.done else len(groups)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(lanegate, "time", made)
    return made


def offer(gate: LaneGate, lane: str, count: int) -> int:
    """Offer groups one after the other; return how many were announced at once."""
    announced = 0
    for number in range(count):
        if gate.admits(lane):
            gate.announced(lane, f"g{number}")
            announced += 1
        else:
            gate.held_back(lane, "b", f"g{number}")
    return announced


def test_while_workers_keep_up_all_is_announced(clock: Clock) -> None:
    lanes = Lanes()
    lanes.done = True
    assert offer(LaneGate(lanes), "lane", 500) == 500
    assert lanes.held == {}


def test_when_they_do_not_only_so_much_is_announced_and_other_lanes_go_on(clock: Clock) -> None:
    lanes = Lanes()
    gate = LaneGate(lanes)
    assert 16 <= offer(gate, "long", 500) <= 32
    assert list(lanes.held) == ["long"]
    assert offer(gate, "other", 1) == 1


def test_what_is_held_back_is_noted_again_for_as_long_as_it_comes(clock: Clock) -> None:
    lanes = Lanes()
    gate = LaneGate(lanes)
    offer(gate, "long", 100)
    before = len(lanes.held["long"])
    clock.time += 1.0
    offer(gate, "long", 100)
    assert len(lanes.held["long"]) == before + 1


def test_a_lane_is_held_in_all_processes_until_its_work_is_done(clock: Clock) -> None:
    lanes = Lanes()
    offer(LaneGate(lanes), "long", 100)
    other = LaneGate(lanes)
    assert offer(other, "long", 1) == 0
    del lanes.held["long"]
    lanes.done = True
    assert other.admits("long") is False, "what was seen holds for a moment"
    clock.time += 1.0
    assert offer(other, "long", 5) == 5


def test_what_was_kept_long_after_its_name_is_gone_back_for(clock: Clock) -> None:
    lanes = Lanes()
    gate = LaneGate(lanes)
    gate.held_back("lane", "b", "g0")
    late, quick = f"{name_at(time.time() - 2)}0", f"{name_at(time.time() + 60)}0"
    for group in (late, quick):
        gate.held_back("lane", "b", group)
    assert lanes.recalled == [late]
    assert lanes.held == {"lane": ["g0"]}, "that was just now"
