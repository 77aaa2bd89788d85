"""How often webhooks are called, and with what pauses."""

import pytest

from mlhub.workers.webhook.policy import DeliveryPolicy, Outcome, judged

POLICY = DeliveryPolicy(limit=8, pause=5.0)


def seconds(attempts: int, outcome: Outcome) -> float | None:
    pause = POLICY.again(attempts, outcome)
    return None if pause is None else pause.total_seconds()


def test_pauses_grow_up_to_a_limit_and_end() -> None:
    failed = judged(500, 0.0)
    pauses = [seconds(attempts, failed) for attempts in range(1, 8)]
    for pause, expected in zip(pauses, (5, 20, 80, 320, 1280, 5120, 20480), strict=True):
        assert pause == pytest.approx(expected, rel=0.101)
    assert seconds(8, failed) is None
    longest = DeliveryPolicy(limit=1000, pause=5.0).again(999, failed)
    assert longest is not None
    assert longest.total_seconds() <= 6 * 3600 * 1.1


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_success_ends_it(status: int) -> None:
    outcome = judged(status, 0.0)
    assert outcome.error is None
    assert seconds(1, outcome) is None


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 408, 429, 500, 502, 503, 199])
def test_anything_else_is_tried_again(status: int) -> None:
    outcome = judged(status, 0.0)
    assert outcome.error is not None
    assert seconds(1, outcome) is not None


def test_a_receiver_that_is_gone_is_left_alone() -> None:
    assert seconds(1, judged(410, 0.0)) is None


def test_a_receiver_may_ask_for_a_longer_pause_but_not_for_any() -> None:
    assert seconds(1, judged(503, 60.0)) == 60
    assert seconds(1, judged(503, 1e9)) == 6 * 3600


def test_a_call_in_which_workers_die_is_not_made_for_ever() -> None:
    assert not POLICY.exhausted(8)
    assert POLICY.exhausted(9)
