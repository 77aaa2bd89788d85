"""Requests become batches, and replies find their way back."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from mlhub.api.gateway.answer import Answer
from mlhub.api.gateway.batcher import Batcher
from mlhub.api.gateway.group import AwaitedWaiter, Target
from mlhub.api.gateway.message import Message, Reply
from mlhub.api.gateway.slots import Limits, Slots
from mlhub.common import metrics, tensor
from mlhub.common.batch import ENCODER, REQUEST, BatchReply, BatchRequest, Part
from mlhub.common.errors import (
    BackendError,
    BackendRefusedError,
    DeadlineError,
    MLHubError,
    UnavailableError,
)
from mlhub.common.logs import REQUEST_ID
from mlhub.common.rows import Rows
from mlhub.common.tally import Reading, Tally

TARGET = Target("backend", "model", "1-x")


class Worker:
    """Takes messages as the link would, and answers them when the test says so."""

    def __init__(self, rows: int = 4, size: int = 1000, slots: int = 1, max_pending: int = 100) -> None:
        self.sent: list[Message] = []
        self.tally = Tally()
        self.batcher = Batcher(
            {"backend": Limits(rows, size, slots, slots + slots // 2)},
            max_pending,
            self.sent.append,
            self.tally,
        )
        self.batcher.connected()

    def ask(self, *values: float, wait: float = 30, target: Target = TARGET) -> "asyncio.Task[Answer]":
        rows = Rows({"x": np.array(values).reshape(-1, 1)}, len(values), single=False)
        return asyncio.ensure_future(self.batcher.predict(target, rows, wait))

    def batches(self, index: int) -> list[BatchRequest]:
        """Return what a message holds."""
        return [REQUEST.decode(payload) for payload in self.sent[index].arguments]

    def requests(self) -> list[BatchRequest]:
        """Return what all messages hold."""
        return [batch for index in range(len(self.sent)) for batch in self.batches(index)]

    def answer(self, index: int, seconds: float = 0.001) -> None:
        """Answer a message with its inputs, each plus one."""
        self.reply(
            index,
            *(
                BatchReply(
                    (Part(len(batch.sizes), (tensor.encode("y", tensor.decode(batch.inputs[0]) + 1),)),),
                    seconds,
                )
                for batch in self.batches(index)
            ),
        )

    def reply(self, index: int, *replies: BatchReply) -> None:
        encoded = [ENCODER.encode(reply) for reply in replies]
        self.batcher.replied(self.sent[index].id, Reply("SUCCESS", encoded))


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
async def test_a_reply_that_cannot_be_read_is_a_failure_and_not_an_endless_wait() -> None:
    worker = Worker()
    for result in (b"\xc1", [b"\xc1"], [], None):
        asked = worker.ask(1.0)
        await settle()
        worker.batcher.replied(worker.sent[-1].id, Reply("SUCCESS", result))
        with pytest.raises(BackendError):
            await asked


@run
async def test_a_batch_beside_another_goes_once_it_is_as_large() -> None:
    worker = Worker(rows=100, slots=4)
    await known(worker, [TARGET])
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
    slots = Slots(Limits(rows=100, size=1000, slots=2, slots_ahead=3))
    slots.sent(4)
    assert not slots.ripe(1), "as far as is known, the reply is near"
    slots.took(10.0)
    assert slots.ripe(1)
    slots.sent(1)
    assert slots.ripe(1), "the next one shall be at hand when a slot frees"
    slots.sent(1)
    assert not slots.ripe(1), "that is enough"
    slots.ended(4)
    assert slots.ripe(1)


OTHERS = [Target("backend", f"m{number}", "1-y") for number in range(40)]


async def known(worker: Worker, targets: list[Target], seconds: float = 0.001) -> None:
    """Have the batcher learn how long models take."""
    for target in targets:
        asked = worker.ask(0.0, target=target)
        await settle()
        worker.answer(len(worker.sent) - 1, seconds)
        await asked
    worker.sent.clear()


@run
async def test_models_that_are_known_to_be_quick_share_a_message() -> None:
    worker = Worker(rows=100)
    await known(worker, OTHERS[:3])
    asked = [worker.ask(float(index), target=OTHERS[index % 3]) for index in range(6)]
    await settle()
    assert len(worker.sent) == 1
    assert [(batch.model, batch.sizes) for batch in worker.batches(0)] == [
        (f"m{number}", (1, 1)) for number in range(3)
    ]
    worker.answer(0)
    assert [float((await one).outputs["y"][0, 0]) for one in asked] == [1, 2, 3, 4, 5, 6]


@run
async def test_nobody_waits_for_a_slow_model_or_one_of_which_nothing_is_known() -> None:
    worker = Worker(rows=100)
    await known(worker, OTHERS[:2])
    await known(worker, OTHERS[2:3], seconds=1.0)
    asked = [worker.ask(1.0, target=target) for target in OTHERS[:4]]
    await settle()
    assert [[batch.model for batch in worker.batches(index)] for index in range(3)] == [
        ["m2"],
        ["m3"],
        ["m0", "m1"],
    ]
    for index in range(3):
        worker.answer(index)
    await asyncio.gather(*asked)


@run
async def test_a_model_that_is_slow_once_is_soon_known_as_quick_again() -> None:
    worker = Worker(rows=100)
    await known(worker, OTHERS[:1])
    await known(worker, OTHERS[1:2], seconds=1.0)
    await known(worker, OTHERS[1:2] * 20)
    asked = [worker.ask(1.0, target=target) for target in OTHERS[:2]]
    await settle()
    assert len(worker.sent) == 1
    worker.answer(0)
    await asyncio.gather(*asked)


@run
async def test_all_of_a_message_obey_its_limits_together_and_what_is_left_comes_after_the_others() -> None:
    worker = Worker(rows=4)
    await known(worker, OTHERS[:2])
    asked = [worker.ask(0.0, target=OTHERS[0]) for _ in range(6)] + [worker.ask(0.0, target=OTHERS[1])]
    await settle()
    worker.answer(0)
    worker.answer(1)
    await asyncio.gather(*asked)
    assert [[(batch.model, len(batch.sizes)) for batch in worker.batches(index)] for index in range(2)] == [
        [("m0", 4)],
        [("m1", 1), ("m0", 2)],
    ]


@run
async def test_a_message_holds_so_many_batches_only() -> None:
    worker = Worker(rows=100)
    await known(worker, OTHERS)
    asked = [worker.ask(0.0, target=target) for target in OTHERS]
    await settle()
    worker.answer(0)
    worker.answer(1)
    await asyncio.gather(*asked)
    assert [len(worker.batches(index)) for index in range(2)] == [32, 8]


@run
async def test_when_a_worker_fails_on_a_message_each_of_its_batches_is_tried_alone() -> None:
    worker = Worker(rows=100)
    await known(worker, OTHERS[:2])
    asked = [worker.ask(1.0, target=target) for target in OTHERS[:2]]
    await settle()
    worker.batcher.replied(worker.sent[0].id, Reply("FAILURE", "ValueError"))
    assert [len(worker.batches(index)) for index in range(3)] == [2, 1, 1]
    worker.batcher.replied(worker.sent[1].id, Reply("FAILURE", "ValueError"))
    worker.answer(2)
    with pytest.raises(BackendError):
        await asked[0]
    assert float((await asked[1]).outputs["y"][0, 0]) == 2.0


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


def readings(tally: Tally) -> dict[str, Reading]:
    return {reading.family: reading for reading in tally.read()}


@run
async def test_batches_are_counted() -> None:
    worker = Worker(rows=100)
    await known(worker, OTHERS[:2])
    before = readings(worker.tally)
    asked = [worker.ask(1.0, 2.0, target=OTHERS[0]), *(worker.ask(1.0, target=OTHERS[1]) for _ in range(3))]
    await settle()
    meanwhile = readings(worker.tally)
    assert (meanwhile[metrics.PENDING].value, meanwhile[metrics.BATCHES_PENDING].value) == (4, 2)
    assert meanwhile[metrics.BATCH_REQUESTS].value - before[metrics.BATCH_REQUESTS].value == 4
    assert meanwhile[metrics.BATCH_ROWS].value - before[metrics.BATCH_ROWS].value == 5
    assert sum(meanwhile[metrics.BATCH_ROWS].counts) - sum(before[metrics.BATCH_ROWS].counts) == 2
    worker.answer(0)
    await asyncio.gather(*asked)
    after = readings(worker.tally)
    assert (after[metrics.PENDING].value, after[metrics.BATCHES_PENDING].value) == (0, 0)
    assert sum(after[metrics.QUEUE_WAIT].counts) - sum(before[metrics.QUEUE_WAIT].counts) == 2


@run
async def test_those_whose_queue_was_emptied_learn_it_at_once() -> None:
    worker = Worker()
    waiting = worker.ask(1)
    await settle()
    worker.batcher.replied(worker.sent[0].id, Reply("REVOKED"))
    with pytest.raises(UnavailableError, match="emptied") as raised:
        await waiting
    assert raised.value.code == "queue_purged"


@run
async def test_a_message_names_its_requests() -> None:
    worker = Worker()
    tasks = []
    for name in ("first", "second", "third"):
        REQUEST_ID.set(name)
        tasks.append(worker.ask(1.0))
    REQUEST_ID.set("-")
    await settle()
    worker.answer(0)
    await settle()
    if len(worker.sent) > 1:
        worker.answer(1)
    await asyncio.gather(*tasks)
    assert ",".join(batch.requests for batch in worker.requests()) == "first,second,third"


def test_what_a_worker_failed_on_is_told_by_its_requests(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        worker = Worker()
        tasks = []
        for name in ("first", "second"):
            REQUEST_ID.set(name)
            tasks.append(worker.ask(1.0))
        await settle()
        worker.batcher.replied(worker.sent[0].id, Reply("FAILURE", "ValueError"))
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, BackendError) for outcome in outcomes)

    asyncio.run(fail())
    assert [line.request_id for line in caplog.records] == ["first,second"]  # type: ignore[attr-defined]


def test_a_request_that_fails_at_its_answer_takes_no_other_along(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(AwaitedWaiter):
        def answered(self, answer: Answer) -> None:
            raise OSError("its client is gone")

    async def test() -> None:
        worker = Worker()
        rows = Rows({"x": np.array([[1.0]])}, 1, single=True)
        before, after = worker.ask(1.0), worker.ask(3.0)
        worker.batcher.submit(TARGET, Broken(rows, asyncio.get_running_loop().time(), 30, "broken-1", ""))
        await settle()
        assert [request.sizes for request in worker.requests()] == [(1, 1, 1)]
        worker.answer(0)
        assert [(await one).outputs["y"].tolist() for one in (before, after)] == [[[2.0]], [[4.0]]]

    asyncio.run(test())
    assert [vars(record)["request_id"] for record in caplog.records] == ["broken-1"]


@run
async def test_what_is_not_taken_is_told_nothing_later() -> None:
    told: list[object] = []

    class Told(AwaitedWaiter):
        def failed(self, error: MLHubError) -> None:
            told.append(error)

    worker = Worker()
    rows = Rows({"x": np.array([[1.0]])}, 1, single=True)
    waiter = Told(rows, asyncio.get_running_loop().time(), 0.01, "-", "")
    with pytest.raises(KeyError):
        worker.batcher.submit(Target("gone", "model", "1-x"), waiter)
    with pytest.raises(DeadlineError):
        await worker.ask(1.0, wait=0.05)
    assert told == [], "its time is over by now"
    assert [one.value for one in worker.tally.read() if one.family == metrics.PENDING] == [0]
