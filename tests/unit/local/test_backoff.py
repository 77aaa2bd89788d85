"""The pauses before a program is started again."""

import pytest

from mlhub.local.backoff import Backoff


def test_a_program_that_ran_long_is_started_again_at_once() -> None:
    backoff = Backoff()
    assert backoff.ended(now=100.0, age=60.0) == 0.0
    assert backoff.over(100.0)


def test_the_first_failure_at_the_start_may_be_bad_luck() -> None:
    backoff = Backoff()
    assert backoff.ended(now=1.0, age=0.5) == 0.0


def test_pauses_double_while_it_keeps_failing_up_to_a_limit() -> None:
    backoff = Backoff()
    assert [backoff.ended(now=0.0, age=0.1) for _ in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize(("now", "over"), [(10.9, False), (11.0, True), (12.0, True)])
def test_it_is_not_started_before_the_pause_is_over(now: float, over: bool) -> None:
    backoff = Backoff()
    backoff.ended(now=9.0, age=0.1)
    backoff.ended(now=10.0, age=0.1)
    assert backoff.over(now) is over


def test_a_long_run_ends_the_series() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.ended(now=0.0, age=0.1)
    backoff.ended(now=0.0, age=60.0)
    assert backoff.ended(now=0.0, age=0.1) == 0.0
