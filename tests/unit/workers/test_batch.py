"""A batch costs one call; what the server refuses fails alone."""

import logging
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlhub.common import tensor
from mlhub.common.batch import BatchReply, BatchRequest
from mlhub.common.errors import (
    BackendError,
    BackendRefusedError,
    BackendTimeoutError,
    BackendUnreachableError,
)
from mlhub.common.logs import REQUEST_ID
from mlhub.common.tensor import Tensor
from mlhub.workers.adapters.base import Answered
from mlhub.workers.batch import run_batch, run_batches

BAD = -1.0


class Server:
    """Doubles what it is given, and refuses batches with bad values."""

    def __init__(self, error: BackendError | None = None, flat: bool = False) -> None:
        self.calls = 0
        self.named: list[str] = []
        """The requests of each call."""
        self._error = error
        self._flat = flat

    def predict(
        self, model: str, deployment: str, inputs: Sequence[Tensor], outputs: Sequence[str] = ()
    ) -> tuple[Tensor, ...]:
        self.calls += 1
        self.named.append(REQUEST_ID.get())
        if self._error is not None:
            raise self._error
        (array,) = (tensor.decode(item) for item in inputs)
        if (array == BAD).any():
            raise BackendRefusedError("bad value")
        return (tensor.encode("y", array.sum(axis=0) if self._flat else array * 2),)


def ask(server: Server, requests: list[list[float]]) -> list[list[float] | str]:
    """Run a batch; return for each request its outputs or the code of its error."""
    stacked = np.concatenate([np.array(rows).reshape(-1, 1) for rows in requests])
    sizes = tuple(len(rows) for rows in requests)
    reply = run_batch(server, BatchRequest("m", "d", (tensor.encode("x", stacked),), sizes))  # type: ignore[arg-type]
    answers: list[list[float] | str] = []
    left = list(sizes)
    for part in reply.parts:
        mine, left = left[: part.count], left[part.count :]
        if part.code:
            answers += [part.code] * part.count
            continue
        array = tensor.decode(part.outputs[0]).ravel()
        for size in mine:
            answers.append(array[:size].tolist())
            array = array[size:]
    assert not left
    return answers


def test_a_good_batch_is_one_call() -> None:
    server = Server()
    assert ask(server, [[1.0], [2.0, 3.0]]) == [[2.0], [4.0, 6.0]]
    assert server.calls == 1


@given(st.lists(st.lists(st.sampled_from([BAD, 1.0, 2.0]), min_size=1, max_size=3), min_size=1, max_size=40))
def test_exactly_the_bad_requests_fail(requests: list[list[float]]) -> None:
    expected = ["backend_refused" if BAD in rows else [value * 2 for value in rows] for rows in requests]
    assert ask(Server(), requests) == expected


def test_each_call_names_the_requests_that_it_is_for() -> None:
    server = Server()
    rows = tensor.encode("x", np.array([[1.0], [2.0], [BAD], [4.0]]))
    batch = BatchRequest("m", "d", (rows,), (1, 1, 1, 1), requests="a,b,c,d")
    single = BatchRequest("m", "d", (tensor.encode("x", np.ones((1, 1))),), (1,), requests="e")
    run_batches(server, [batch, single])  # type: ignore[arg-type]
    assert server.named == ["a,b,c,d", "a,b", "c,d", "c", "d", "e"]


def test_one_bad_among_many_costs_few_calls() -> None:
    server = Server()
    ask(server, [[1.0]] * 77 + [[BAD]] + [[1.0]] * 50)
    assert server.calls <= 16


def test_a_server_that_cannot_be_reached_is_asked_once() -> None:
    server = Server(BackendUnreachableError("gone"))
    assert ask(server, [[1.0]] * 10) == ["backend_unreachable"] * 10
    assert server.calls == 1


@pytest.mark.parametrize("count", [1, 4])
def test_outputs_without_rows_need_a_call_for_each_request(count: int) -> None:
    server = Server(flat=True)
    assert ask(server, [[3.0]] * count) == [[3.0]] * count


def test_the_log_names_the_requests_that_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    stacked = np.array([[1.0], [BAD], [2.0], [3.0]])
    request = BatchRequest("m", "d", (tensor.encode("x", stacked),), (1, 1, 2), requests="one,two,three")
    run_batch(Server(), request)  # type: ignore[arg-type]
    run_batch(Server(BackendUnreachableError("away")), request)  # type: ignore[arg-type]
    assert [(line.levelname, line.request_id, line.message) for line in caplog.records] == [  # type: ignore[attr-defined]
        ("INFO", "two", "d of m: bad value"),
        ("WARNING", "one,two,three", "d of m: away"),
    ]


class Sharing(Server):
    """Takes several batches in one call, unless that call as a whole fails."""

    def __init__(self, failure: BackendError | None = None, able: bool = True) -> None:
        super().__init__()
        self.shared = 0
        self._failure = failure
        self._able = able

    def predict_together(self, batches: Sequence[BatchRequest]) -> Sequence[Answered] | None:
        self.shared += 1
        if self._failure is not None:
            raise self._failure
        return [self._answered(batch) for batch in batches] if self._able else None

    def _answered(self, batch: BatchRequest) -> Answered:
        if batch.model == "broken":
            return Answered(error=BackendError("broken"), seconds=1.0)
        (array,) = (tensor.decode(item) for item in batch.inputs)
        if (array == BAD).any():
            return Answered(error=BackendRefusedError("bad value"), seconds=1.0)
        return Answered((tensor.encode("y", array * 2),), seconds=1.0)


def message(*batches: tuple[str, list[float]]) -> list[BatchRequest]:
    """Return batches of one row a request."""
    return [
        BatchRequest(model, "d", (tensor.encode("x", np.array(values).reshape(-1, 1)),), (1,) * len(values))
        for model, values in batches
    ]


def run(server: Server, batches: list[BatchRequest]) -> list[BatchReply]:
    return run_batches(server, batches)  # type: ignore[arg-type] # has what is called


def told(reply: BatchReply) -> list[list[float] | str]:
    return [part.code or tensor.decode(part.outputs[0]).ravel().tolist() for part in reply.parts]


def test_batches_of_a_message_go_in_one_call() -> None:
    server = Sharing()
    replies = run(server, message(("a", [1.0, 2.0]), ("b", [3.0])))
    assert [told(reply) for reply in replies] == [[[2.0, 4.0]], [[6.0]]]
    assert (server.shared, server.calls) == (1, 0)
    # The server's own time for each, not that of the whole call.
    assert all(reply.backend_time >= 1.0 for reply in replies)


def test_a_batch_alone_is_a_call_of_its_own() -> None:
    server = Sharing()
    assert told(run(server, message(("a", [1.0])))[0]) == [[2.0]]
    assert (server.shared, server.calls) == (0, 1)


def test_a_bad_request_in_a_shared_call_fails_alone() -> None:
    server = Sharing()
    replies = run(server, message(("a", [1.0, BAD]), ("broken", [1.0]), ("b", [3.0])))
    assert [told(reply) for reply in replies] == [
        [[2.0], "backend_refused"],
        ["backend_failed"],
        [[6.0]],
    ]
    # Only the two halves of the refused batch were asked for again.
    assert (server.shared, server.calls) == (1, 2)


@pytest.mark.parametrize("failure", [BackendError("crash"), BackendRefusedError("too large"), None])
def test_when_a_shared_call_fails_each_batch_is_tried_alone(failure: BackendError | None) -> None:
    server = Sharing(failure, able=False)
    replies = run(server, message(("a", [1.0, BAD]), ("b", [3.0])))
    assert [told(reply) for reply in replies] == [[[2.0], "backend_refused"], [[6.0]]]
    assert server.shared == 1


@pytest.mark.parametrize("failure", [BackendUnreachableError("gone"), BackendTimeoutError("slow")])
def test_a_server_that_gives_a_shared_call_no_answer_is_asked_once(failure: BackendError) -> None:
    server = Sharing(failure)
    replies = run(server, message(("a", [1.0, 2.0]), ("b", [3.0])))
    assert [told(reply) for reply in replies] == [[failure.code], [failure.code]]
    assert (server.shared, server.calls) == (1, 0)
