"""Requests become batches, and replies find their way back."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from mlhub.api.gateway.batcher import Batcher
from mlhub.api.gateway.group import Answer, Batch, Group, Limits, Target, Waiter
from mlhub.api.gateway.message import Message, Reply
from mlhub.common import tensor
from mlhub.common.batch import ENCODER, REQUEST, BatchReply, BatchRequest, Part
from mlhub.common.errors import BackendError, BackendRefusedError, DeadlineError, UnavailableError
from mlhub.common.rows import Rows

TARGET = Target("backend", "model", "1-x")


class Worker:
    """Takes messages as the link would, and answers them when the test says so."""

    def __init__(self, rows: int = 4, size: int = 1000, slots: int = 1, max_pending: int = 100) -> None:
        self.sent: list[Message] = []
        self.batcher = Batcher(
            {"backend": Limits(rows, size, slots, slots + slots // 2)}, max_pending, self.sent.append
        )
        self.batcher.connected()

    def ask(self, *values: float, wait: float = 30, target: Target = TARGET) -> "asyncio.Task[Answer]":
        rows = Rows({"x": np.array(values).reshape(-1, 1)}, len(values), single=False)
        return asyncio.ensure_future(self.batcher.predict(target, rows, wait))

    def requests(self) -> list[BatchRequest]:
        return [REQUEST.decode(message.arguments[0]) for message in self.sent]

    def answer(self, index: int) -> None:
        """Answer a message with its inputs, each plus one."""
        array = tensor.decode(self.requests()[index].inputs[0]) + 1
        part = Part(len(self.requests()[index].sizes), (tensor.encode("y", array),))
        self.reply(index, BatchReply((part,), 0.001))

    def reply(self, index: int, reply: BatchReply) -> None:
        self.batcher.replied(self.sent[index].id, Reply("SUCCESS", ENCODER.encode(reply)))


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def wrapped() -> None:
        asyncio.run(test())

    return wrapped


async def settle() -> None:
    """Let the event loop do all it can do now."""
    for _ in range(5):
        await asyncio.sleep(0)


@run
async def test_what_comes_at_once_goes_at_once() -> None:
    worker = Worker()
    asked = [worker.ask(value) for value in (1.0, 2.0, 3.0)]
    await settle()
    assert [request.sizes for request in worker.requests()] == [(1, 1, 1)]
    worker.answer(0)
    assert [(await one).outputs["y"].tolist() for one in asked] == [[[2.0]], [[3.0]], [[4.0]]]


@run
async def test_requests_collect_while_the_slots_are_taken() -> None:
    worker = Worker(rows=4)
    first = worker.ask(0.0)
    await settle()
    later = [worker.ask(float(value)) for value in range(1, 7)]
    await settle()
    assert len(worker.sent) == 1, "the only slot is taken"
    worker.answer(0)
    assert len(worker.sent) == 2, "a reply frees it at once"
    assert worker.requests()[1].sizes == (1, 1, 1, 1), "no more rows than a batch may have"
    worker.answer(1)
    worker.answer(2)
    assert [float((await one).outputs["y"][0, 0]) for one in (first, *later)] == [1, 2, 3, 4, 5, 6, 7]


@run
async def test_several_rows_of_one_request_stay_together() -> None:
    worker = Worker(rows=4)
    asked = [worker.ask(1.0, 2.0, 3.0), worker.ask(4.0, 5.0), worker.ask(*range(9))]
    await settle()
    for index in range(3):
        worker.answer(index)
    assert [request.sizes for request in worker.requests()] == [(3,), (2,), (9,)]
    assert (await asked[1]).outputs["y"].tolist() == [[5.0], [6.0]]
    assert len((await asked[2]).outputs["y"]) == 9, "what is too large for a batch goes alone"


@run
async def test_bytes_bound_a_batch_too() -> None:
    worker = Worker(rows=100, size=16)
    asked = [worker.ask(float(value)) for value in range(3)]
    await settle()
    worker.answer(0)
    worker.answer(1)
    assert [request.sizes for request in worker.requests()] == [(1, 1), (1,)]
    await asyncio.gather(*asked)


@run
async def test_other_targets_have_slots_of_their_own() -> None:
    worker = Worker()
    asked = [worker.ask(1.0), worker.ask(1.0, target=Target("backend", "other", "1-y"))]
    await settle()
    assert {request.model for request in worker.requests()} == {"model", "other"}
    worker.answer(0)
    worker.answer(1)
    await asyncio.gather(*asked)


@run
async def test_each_part_of_a_reply_finds_its_requests() -> None:
    worker = Worker()
    asked = [worker.ask(value) for value in (1.0, 2.0, 3.0)]
    await settle()
    good = tensor.encode("y", np.array([[7.0]]))
    bad = Part(1, code="backend_refused", detail="no")
    worker.reply(0, BatchReply((Part(1, (good,)), bad, Part(1, (good,))), 0.0))
    assert (await asked[0]).outputs["y"].tolist() == [[7.0]]
    with pytest.raises(BackendRefusedError):
        await asked[1]
    assert (await asked[2]).outputs["y"].tolist() == [[7.0]]


@run
async def test_a_request_that_is_given_up_is_not_sent_and_holds_nobody_up() -> None:
    worker = Worker()
    first = worker.ask(1.0)
    await settle()
    dropped, kept = worker.ask(2.0), worker.ask(3.0)
    await settle()
    dropped.cancel()
    await settle()
    worker.answer(0)
    assert worker.requests()[1].sizes == (1,)
    worker.answer(1)
    assert float((await kept).outputs["y"][0, 0]) == 4.0
    await first


@run
async def test_the_deadline_ends_the_wait_and_a_late_reply_means_nothing() -> None:
    worker = Worker()
    asked = worker.ask(1.0, wait=0.01)
    with pytest.raises(DeadlineError):
        await asked
    worker.answer(0)
    again = worker.ask(2.0)
    await settle()
    worker.answer(1)
    assert float((await again).outputs["y"][0, 0]) == 3.0


@run
async def test_messages_expire_with_the_last_of_their_requests() -> None:
    worker = Worker()
    asked = [worker.ask(1.0, wait=5), worker.ask(2.0, wait=20)]
    await settle()
    assert worker.sent[0].expires_in is not None
    assert 19 < worker.sent[0].expires_in <= 20
    worker.answer(0)
    await asyncio.gather(*asked)


@run
async def test_a_refused_message_is_back_pressure() -> None:
    worker = Worker()
    asked = worker.ask(1.0)
    await settle()
    worker.batcher.refused(worker.sent[0].id)
    with pytest.raises(UnavailableError) as caught:
        await asked
    assert caught.value.code == "queue_full"


@run
async def test_more_than_may_wait_are_turned_away() -> None:
    worker = Worker(max_pending=2)
    asked = [worker.ask(float(value)) for value in range(3)]
    await settle()
    with pytest.raises(UnavailableError):
        await asked[2]
    worker.answer(0)
    await asyncio.gather(*asked[:2])


@run
async def test_after_a_lost_connection_all_is_sent_again_in_order() -> None:
    worker = Worker(rows=2)
    asked = [worker.ask(float(value)) for value in range(3)]
    await settle()
    worker.batcher.disconnected()
    late = worker.ask(9.0)
    await settle()
    assert len(worker.sent) == 1, "nothing is sent without a connection"
    worker.batcher.connected()
    worker.answer(0)
    worker.answer(1)
    worker.answer(2)
    answers = [float((await one).outputs["y"][0, 0]) for one in (*asked, late)]
    assert answers == [1, 2, 3, 10]


@run
async def test_a_failed_worker_fails_its_batch_only() -> None:
    worker = Worker()
    asked = worker.ask(1.0)
    await settle()
    worker.batcher.replied(worker.sent[0].id, Reply("FAILURE", {"exc_type": "ValueError"}))
    with pytest.raises(BackendError):
        await asked


@run
async def test_a_batch_beside_another_goes_once_it_is_as_large() -> None:
    worker = Worker(rows=100, slots=4)
    asked = [worker.ask(float(value)) for value in range(4)]
    await settle()
    assert [request.sizes for request in worker.requests()] == [(1,) * 4]
    asked += [worker.ask(float(value)) for value in range(3)]
    await settle()
    assert len(worker.sent) == 1, "three are fewer than four"
    asked.append(worker.ask(3.0))
    await settle()
    assert [len(request.sizes) for request in worker.requests()] == [4, 4]
    asked.append(worker.ask(9.0))
    await settle()
    assert len(worker.sent) == 2, "one is fewer than four again"
    worker.answer(0)
    await settle()
    assert len(worker.sent) == 2, "the other batch is still on its way, and its reply is near"
    worker.answer(1)
    await settle()
    assert len(worker.sent) == 3, "nothing is in flight: nobody waits for others"
    worker.answer(2)
    await asyncio.gather(*asked)


def test_where_replies_take_long_free_slots_are_used_at_once() -> None:
    group = Group((TARGET, ()), TARGET, Limits(rows=100, size=1000, slots=2, slots_ahead=3))
    waiters: list[Any] = [Waiter(Rows({}, 1, single=True), None, 0.0) for _ in range(5)]  # type: ignore[arg-type]
    batch = Batch("1", group, waiters[:4], 0.0)
    group.sent(batch)
    group.waiting.append(waiters[4])
    assert not group.ripe, "as far as is known, the reply is near"
    group.took(10.0)
    assert group.ripe
    group.sent(Batch("2", group, waiters[4:], 0.0))
    assert group.ripe, "the next one shall be at hand when a slot frees"
    group.sent(Batch("3", group, waiters[4:], 0.0))
    assert not group.ripe, "that is enough"
    group.ended(batch)
    assert group.ripe


@run
async def test_giving_up_fails_all_that_wait() -> None:
    worker = Worker(rows=1)
    asked = [worker.ask(float(value)) for value in range(3)]
    await settle()
    worker.batcher.disconnected()
    worker.batcher.give_up(UnavailableError("away"))
    for one in asked:
        with pytest.raises(UnavailableError):
            await one
