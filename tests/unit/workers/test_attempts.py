"""Which jobs are tried again, and that surprises end like other errors."""

from datetime import timedelta

import pytest

from mlhub.common.errors import (
    BackendRefusedError,
    BackendUnreachableError,
    MLHubError,
    UnacceptableError,
    UnavailableError,
)
from mlhub.common.tally import Count
from mlhub.workers.attempts import AttemptPolicy, SurpriseError, attempt

POLICY = AttemptPolicy(limit=3, lease=timedelta(minutes=1))


@pytest.mark.parametrize("error", [BackendUnreachableError(""), UnavailableError(""), SurpriseError("")])
def test_what_may_pass_is_tried_again_up_to_the_limit(error: MLHubError) -> None:
    assert [POLICY.again(count, error) for count in (1, 2, 3)] == [True, True, False]


@pytest.mark.parametrize("error", [UnacceptableError(""), BackendRefusedError("")])
def test_what_lies_in_the_work_is_not_tried_again(error: MLHubError) -> None:
    assert not POLICY.again(1, error)


def test_a_job_that_kills_its_workers_is_given_up() -> None:
    assert [POLICY.exhausted(count) for count in (3, 4)] == [False, True]


def test_surprises_are_said_without_internals_and_logged_with_them(caplog: pytest.LogCaptureFixture) -> None:
    def work() -> None:
        raise KeyError("internal")

    with pytest.raises(SurpriseError) as caught:
        attempt(work)
    assert "internal" not in caught.value.detail
    assert "internal" in caplog.text
    with pytest.raises(UnacceptableError):
        attempt(lambda: (_ for _ in ()).throw(UnacceptableError("mine")))


def test_each_job_that_is_tried_again_is_counted() -> None:
    count = Count()
    policy = AttemptPolicy(limit=3, lease=timedelta(minutes=1), noted=count.increase)
    assert policy.again(1, BackendUnreachableError("Away."))
    assert not policy.again(3, BackendUnreachableError("Away."))
    assert not policy.again(1, UnacceptableError("Wrong."))
    assert count.value == 1
