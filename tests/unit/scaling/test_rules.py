"""When a pool that follows its load grows and shrinks."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlhub.common.pool import PoolSettings
from mlhub.scaling.rules import Rules, Sample

IDLE = Sample(0, 0.0)


def rules(**settings: float) -> Rules:
    given = {"automatic": True, "maximum": 8, "messages": 4, "age": 5, "pause": 60}
    return Rules(PoolSettings.model_validate(given | settings))


def test_it_grows_at_once_to_what_waits() -> None:
    assert rules().decide(0, 1, Sample(12, 0.1)) == 3
    assert rules().decide(0, 1, Sample(13, 0.1)) == 4


def test_what_each_process_may_have_waiting_is_no_reason_to_grow() -> None:
    assert rules().decide(0, 2, Sample(8, 0.1)) == 2


def test_it_grows_by_one_when_the_oldest_waits_too_long() -> None:
    assert rules().decide(0, 2, Sample(1, 5.1)) == 3


def test_work_that_waits_for_its_turn_without_a_message_counts_too() -> None:
    assert rules().decide(0, 2, Sample(0, 100.0)) == 3


def test_it_never_exceeds_its_bounds() -> None:
    assert rules().decide(0, 1, Sample(10_000, 100.0)) == 8
    bounded = rules(minimum=2, pause=0)
    assert bounded.decide(0, 2, IDLE) == 2
    assert bounded.decide(0, 1, IDLE) == 2


def test_it_shrinks_by_one_after_the_pause_and_again_after_another() -> None:
    pool = rules()
    sizes = [3]
    for second in range(0, 200, 10):
        sizes.append(pool.decide(second, sizes[-1], IDLE))
    assert sizes[1:] == [3] * 6 + [2] * 6 + [1] * 8


def test_a_moment_of_need_begins_the_pause_anew() -> None:
    pool = rules()
    assert [pool.decide(second, 2, IDLE) for second in (0, 30, 50)] == [2, 2, 2]
    assert pool.decide(55, 2, Sample(7, 0.1)) == 2
    assert [pool.decide(second, 2, IDLE) for second in (60, 90, 114)] == [2, 2, 2]
    assert pool.decide(116, 2, IDLE) == 1


def test_growing_begins_the_pause_anew() -> None:
    pool = rules()
    pool.decide(0, 1, IDLE)
    assert pool.decide(59, 1, Sample(8, 0.1)) == 2
    assert pool.decide(70, 2, IDLE) == 2
    assert pool.decide(118, 2, IDLE) == 2
    assert pool.decide(119, 2, IDLE) == 1


def test_without_a_pause_it_follows_at_once() -> None:
    pool = rules(pause=0)
    assert pool.decide(0, 3, IDLE) == 2
    assert pool.decide(0.1, 2, IDLE) == 1


@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(0, 100), st.floats(0, 20)), min_size=1, max_size=60),
    st.integers(0, 4),
)
def test_whatever_comes_it_stays_in_bounds_and_never_shrinks_by_more_than_one(
    load: list[tuple[float, int, float]], spare: int
) -> None:
    pool = rules(minimum=2, maximum=2 + spare, pause=3)
    now, sizes = 0.0, [2]
    for pause, waiting, age in load:
        now += pause
        sizes.append(pool.decide(now, sizes[-1], Sample(waiting, age)))
    assert all(2 <= size <= 2 + spare for size in sizes)
    assert all(after >= before - 1 for before, after in pairwise(sizes))


@pytest.mark.parametrize(
    "settings",
    [
        {"minimum": 3, "maximum": 2},
        {"maximum": 0},
        {"minimum": -1},
        {"automatic": True, "minimum": 0},
        {"messages": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        PoolSettings.model_validate(settings)
