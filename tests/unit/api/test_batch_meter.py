"""Batches are counted from what passes by."""

from mlhub.api.gateway.message import Message, Reply
from mlhub.api.gateway.meter import BatchMeter
from mlhub.common import metrics
from mlhub.common.batch import ENCODER, BatchReply, BatchRequest, Part
from mlhub.common.tally import Reading, Tally

REQUEST = ENCODER.encode(BatchRequest("m", "1", (), (1, 2, 5)))
REPLY = ENCODER.encode(BatchReply((Part(3),), 0.25))


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def readings(tally: Tally) -> dict[str, Reading]:
    return {reading.family: reading for reading in tally.read()}


def test_a_batch_is_counted_with_its_requests_rows_and_wait() -> None:
    tally, clock = Tally(), Clock()
    meter = BatchMeter(tally, clock)
    meter.sent(Message("id", "task", "queue", (REQUEST,), 30.0), "b")
    assert readings(tally)[metrics.BATCHES_PENDING].value == 1
    clock.time += 1
    meter.replied("id", Reply("SUCCESS", REPLY))
    found = readings(tally)
    assert (found[metrics.BATCH_REQUESTS].value, found[metrics.BATCH_ROWS].value) == (3, 8)
    assert found[metrics.QUEUE_WAIT].value == 0.75
    assert found[metrics.BATCHES_PENDING].value == 0


def test_several_batches_may_share_a_message() -> None:
    tally, clock = Tally(), Clock()
    meter = BatchMeter(tally, clock)
    meter.sent(Message("id", "task", "queue", (REQUEST, REQUEST), 30.0), "b")
    meter.replied("id", Reply("SUCCESS", [REPLY, REPLY]))
    assert sum(readings(tally)[metrics.QUEUE_WAIT].counts) == 2


def test_replies_that_tell_nothing_are_passed_over() -> None:
    tally, clock = Tally(), Clock()
    meter = BatchMeter(tally, clock)
    meter.sent(Message("id", "task", "queue", (REQUEST,), 30.0), "b")
    meter.replied("id", Reply("FAILURE", "ValueError"))
    meter.replied("other", Reply("SUCCESS", REPLY))
    assert metrics.QUEUE_WAIT not in readings(tally)


def test_what_gets_no_reply_does_not_stay() -> None:
    tally, clock = Tally(), Clock()
    meter = BatchMeter(tally, clock)
    for number in range(20_000):
        meter.sent(Message(str(number), "task", "queue", (), 30.0), "b")
    assert readings(tally)[metrics.BATCHES_PENDING].value == 10_000
    clock.time += 31
    assert readings(tally)[metrics.BATCHES_PENDING].value == 0
    meter.sent(Message("id", "task", "queue", (), 30.0), "b")
    meter.lost()
    assert readings(tally)[metrics.BATCHES_PENDING].value == 0
