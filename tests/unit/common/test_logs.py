"""Log lines name the requests that they are about."""

import io
import logging
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from mlhub.common import logs
from mlhub.common.errors import BackendRefusedError
from mlhub.common.logs import NOBODY, REQUEST_ID
from mlhub.workers.lease import renewed

_LOG = logging.getLogger("test")


@pytest.fixture(params=["json", "text"])
def lines(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What is logged, as pairs of request and message, whatever the form of the lines."""
    root = logging.getLogger()
    before, level, own = list(root.handlers), root.level, logging.getLogger("mlhub").level
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure(request.param, "DEBUG")

    def read() -> list[tuple[str, str]]:
        written = stream.getvalue().splitlines()
        if request.param == "json":
            decoded = [msgspec.json.decode(line) for line in written]
            return [(line["request_id"], line["message"]) for line in decoded]
        return [tuple(line.partition(" [")[2].split("] ", 1)) for line in written]  # type: ignore[misc]

    yield read
    root.handlers[:] = before
    root.setLevel(level)
    logging.getLogger("mlhub").setLevel(own)


def test_a_line_names_the_request_of_its_context(lines: Any) -> None:
    _LOG.info("outside")
    token = REQUEST_ID.set("one")
    _LOG.info("within")
    REQUEST_ID.reset(token)
    assert lines() == [(NOBODY, "outside"), ("one", "within")]


def test_a_line_about_several_names_them_all(lines: Any) -> None:
    with logs.working_for(["one", "two"]):
        _LOG.info("all")
        _LOG.info("some", extra=logs.of(["two"]))
    with logs.working_for([]):
        _LOG.info("none")
    assert lines() == [("one,two", "all"), ("two", "some"), (NOBODY, "none")]
    assert logs.apart("one,two") == ["one", "two"]


def test_an_error_is_written_without_what_a_client_sent(lines: Any) -> None:
    _LOG.info("it failed: %s", BackendRefusedError("no 4711 here", brief="refused"))
    _LOG.info("%s failed: %s", "it", BackendRefusedError("for another reason"))
    assert [message for _, message in lines()] == ["it failed: refused", "it failed: for another reason"]


def test_libraries_do_not_tell_what_passes_through_them(lines: Any) -> None:
    logging.getLogger("pymongo.command").debug("a document")
    logging.getLogger("mlhub.storage").debug("a step")
    assert [message for _, message in lines()] == ["a step"]


def test_a_lease_that_is_not_renewed_is_told_with_the_requests_of_its_job(lines: Any) -> None:
    renewal = threading.Event()

    def renew() -> bool:
        _LOG.info("renewing")
        renewal.set()
        return False

    with logs.working_for(["one"]), renewed(renew, timedelta(seconds=0.01)) as lost:
        assert renewal.wait(60)
        assert lost.wait(60)
    assert lines() == [("one", "renewing")]


def test_no_more_ids_go_along_with_a_call_than_fit() -> None:
    ids = [f"{number:036d}" for number in range(64)]
    few = logs.joined(ids[:3])
    assert logs.portable(few) == few
    assert logs.portable(NOBODY) == ""
    assert logs.apart(logs.portable(logs.joined(ids))) == ids[:13]
    exact = logs.joined(["a" * 255, "b" * 256])
    assert logs.portable(exact) == exact
    assert logs.portable(f"{exact},c") == exact
    assert logs.arrived(exact) == exact


@pytest.mark.parametrize("sent", [None, "", "a b", "a\x1b[31m", "a] forged", "é", "a" * 513, "a\n"])
def test_what_is_no_list_of_ids_is_not_written_to_a_line(sent: str | None) -> None:
    assert logs.arrived(sent) == NOBODY
