"""Rounds go on whatever comes of one, and end when they are told to."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mlhub.common.errors import UnavailableError
from mlhub.common.rounds import Pauses, Rounds

_PATIENCE = 60.0
_AT_ONCE = Pauses(0.0)


class Work:
    """Fails as it is told to, and tells that it was done so often."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self._rounds = threading.Semaphore(0)

    def __call__(self) -> None:
        self._rounds.release()
        if self._errors:
            raise self._errors.pop(0)

    @property
    def begun(self) -> bool:
        return self._rounds.acquire(blocking=False)

    def done(self, rounds: int) -> bool:
        return all(self._rounds.acquire(timeout=_PATIENCE) for _ in range(rounds))


@contextmanager
def running(work: Callable[[], object], pauses: Pauses = _AT_ONCE, **options: Any) -> Iterator[Rounds]:
    rounds = Rounds("work", work, pauses, **options)
    rounds.start()
    try:
        yield rounds
    finally:
        rounds.stop()


@pytest.mark.parametrize("error", [UnavailableError("The database is away."), KeyError("surprise")])
def test_one_that_fails_is_not_the_last(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    work = Work(error)
    with caplog.at_level(logging.WARNING), running(work):
        assert work.done(3)
    (record,) = caplog.records
    assert record.getMessage() in {"work put off: The database is away.", "work failed"}


def test_what_is_hindered_is_tried_again_sooner() -> None:
    work = Work(UnavailableError("away"), UnavailableError("away"))
    with running(work, Pauses(600.0, retry=0.0)):
        assert work.done(3)


def test_a_long_round_is_followed_by_a_longer_pause() -> None:
    pauses = Pauses(5.0, retry=1.0, idle=20.0)
    assert pauses.after(0.1, is_done=True) == 5.0
    assert pauses.after(3.0, is_done=True) == 60.0
    assert pauses.after(0.01, is_done=False) == 1.0


def test_the_first_may_wait_and_none_follows_the_end() -> None:
    work, cleared = Work(), threading.Event()
    with running(work, Pauses(0.0, first=600.0), clear=cleared.set):
        pass
    assert cleared.is_set()
    assert not work.begun, "it was stopped before its first round"


def test_work_that_is_under_way_hears_of_the_end() -> None:
    begun, stopping = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert stopping.wait(_PATIENCE)

    with running(work, stopping=stopping):
        assert begun.wait(_PATIENCE)


def test_a_failure_to_clear_up_ends_quietly(caplog: pytest.LogCaptureFixture) -> None:
    def clear() -> None:
        raise UnavailableError("The database is away.")

    with caplog.at_level(logging.INFO), running(Work(), clear=clear):
        pass
    assert [record.levelno for record in caplog.records] == [logging.INFO]


def test_what_never_began_can_be_stopped() -> None:
    Rounds("work", Work(), Pauses(1.0)).stop()
