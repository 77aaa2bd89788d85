"""What the tasks of a job pool make of a database that is away."""

import logging
from typing import Any

import pytest

from mlhub.common import topology
from mlhub.common.errors import NotFoundError, UnavailableError
from mlhub.workers.courtesy import Courtesy, Times
from mlhub.workers.tasks import register_jobs


class Job:
    """Raises what it is told to."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def run(self, _record: Any, **_options: Any) -> bool:
        raise self._error


def tasks(error: Exception) -> Any:
    app = topology.celery_app("memory://")
    job: Any = Job(error)
    register_jobs(app, job, job, job, job, Courtesy(), "backlog")
    return app.tasks


@pytest.mark.parametrize("name", [topology.JOB_BULK, topology.JOB_VALIDATE, topology.JOB_REMOVE])
def test_work_without_a_database_is_put_off_in_one_line(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tasks(UnavailableError("The database is away."))[name]("x-1")
    (record,) = caplog.records
    assert record.exc_info is None
    assert record.getMessage().endswith("of x-1 is put off: The database is away.")


class Predictions:
    """Remembers what it is told to do."""

    def __init__(self) -> None:
        self.done: list[list[str]] = []

    def run(self, identities: list[str], **_options: Any) -> bool:
        self.done.append(identities)
        return True


@pytest.mark.parametrize(
    ("queue", "is_contended", "sizes"),
    [("backlog", True, [4, 1]), ("backlog", False, [5]), ("jobs", True, [5])],
)
def test_a_backlog_is_done_in_small_pieces_while_others_want_the_processors(
    queue: str, is_contended: bool, sizes: list[int]
) -> None:
    times = iter(range(1000))

    def read() -> Times:
        waited = next(times)
        return Times(waited, waited if is_contended else 0.0)

    courtesy = Courtesy(read, lambda _: None, others=lambda: 1.0)
    with courtesy.working():
        pass
    assert courtesy.contended is is_contended
    app, predictions = topology.celery_app("memory://"), Predictions()
    nothing: Any = None
    register_jobs(app, predictions, nothing, nothing, nothing, courtesy, "backlog")  # type: ignore[arg-type]
    task = app.tasks[topology.JOB_PREDICT]
    task.push_request(delivery_info={"routing_key": queue})
    task.run(["a", "b", "c", "d", "e"])
    assert [len(names) for names in predictions.done] == sizes
    assert [name for names in predictions.done for name in names] == ["a", "b", "c", "d", "e"]


def test_other_errors_are_not_hidden() -> None:
    with pytest.raises(NotFoundError):
        tasks(NotFoundError("It is not there."))[topology.JOB_VALIDATE]("x-1")
