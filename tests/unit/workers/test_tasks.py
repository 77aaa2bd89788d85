"""What the tasks of a job pool make of a database that is away."""

import logging
from typing import Any

import pytest

from mlhub.common import topology
from mlhub.common.errors import NotFoundError, UnavailableError
from mlhub.workers.courtesy import Courtesy
from mlhub.workers.tasks import register_jobs


class Job:
    """Raises what it is told to."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def run(self, _record: Any, **_options: Any) -> bool:
        raise self._error


def tasks(error: Exception) -> Any:
    app = topology.celery_app("memory://")
    register_jobs(app, *[Job(error)] * 4, Courtesy())  # type: ignore[arg-type]
    return app.tasks


@pytest.mark.parametrize("name", [topology.JOB_BULK, topology.JOB_VALIDATE, topology.JOB_REMOVE])
def test_work_without_a_database_is_put_off_in_one_line(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tasks(UnavailableError("The database is away."))[name]("x-1")
    (record,) = caplog.records
    assert record.exc_info is None
    assert record.getMessage().endswith("of x-1 is put off: The database is away.")


def test_other_errors_are_not_hidden() -> None:
    with pytest.raises(NotFoundError):
        tasks(NotFoundError("It is not there."))[topology.JOB_VALIDATE]("x-1")
