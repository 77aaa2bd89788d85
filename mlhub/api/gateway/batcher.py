"""The batcher: collects requests into messages, sends them and splits their replies.

Everything here runs on the event loop of one API process.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from mlhub.api.gateway.answer import Answer, Outputs
from mlhub.api.gateway.deadlines import Deadlines
from mlhub.api.gateway.group import AwaitedWaiter, Target, Waiter
from mlhub.api.gateway.lane import Lane
from mlhub.api.gateway.message import Message, Reply
from mlhub.api.gateway.meter import BatchMeter
from mlhub.api.gateway.shipment import Shipment
from mlhub.api.gateway.slots import Limits
from mlhub.common import logs, metrics, topology
from mlhub.common.batch import ENCODER, REPLY, BatchReply, Part
from mlhub.common.errors import BackendError, DeadlineError, MLHubError, UnavailableError
from mlhub.common.logs import REQUEST_ID
from mlhub.common.rows import Rows
from mlhub.common.tally import Tally
from mlhub.common.tracing import TRACEPARENT, Tracing

_LOG = logging.getLogger(__name__)

_SUCCESS: Final = "SUCCESS"
_REVOKED: Final = "REVOKED"
_LEEWAY: Final = 1.0
"""Seconds that a message's slot stays taken after its last request was given up."""


class Batcher:
    """Predictions of one API process on their way through the queue."""

    def __init__(
        self,
        limits: Mapping[str, Limits],
        max_pending: int,
        send: Callable[[Message], None],
        tally: Tally,
        tracing: Tracing | None = None,
    ) -> None:
        self._lanes = {name: Lane(limit, BatchMeter(tally, name)) for name, limit in limits.items()}
        self._max_pending = max_pending
        self._send_message = send
        self._tracing = tracing
        self._shipments: dict[str, Shipment] = {}
        self._deadlines = Deadlines(self._expire)
        self._pending = 0
        self._up = False
        tally.gauge(metrics.PENDING, lambda: self._pending)
        tally.gauge(metrics.BATCHES_PENDING, self._batches)

    async def predict(self, target: Target, rows: Rows, wait: float) -> Answer:
        """Put a request among those that wait, and wait for its answer.

        Raises:
            UnavailableError: too many wait already, or the broker went away and did not come back.
            DeadlineError: no answer came within `wait` seconds.
            BackendError: the model server failed, or refused this request.
        """
        loop = asyncio.get_running_loop()
        waiter = AwaitedWaiter(rows, loop.time(), wait, REQUEST_ID.get(), TRACEPARENT.get())
        self.submit(target, waiter)
        try:
            return await waiter.future
        finally:
            if not waiter.is_settled:
                self._settle(waiter)

    def submit(self, target: Target, waiter: Waiter) -> None:
        """Put a request among those that wait; it will be told what became of it.

        Raises:
            UnavailableError: too many wait already.
        """
        if self._pending >= self._max_pending:
            raise full("overloaded")
        # First what may fail: what counts as waiting will be told something later.
        lane = self._lanes[target.backend]
        lane.add(target, waiter)
        self._pending += 1
        self._deadlines.add(waiter)
        if not lane.scheduled:
            # Looked at once the loop has taken in all that came at the same time, so that it goes together.
            lane.scheduled = True
            asyncio.get_running_loop().call_soon(self._dispatch, lane)

    def connected(self) -> None:
        """Send again what has no reply yet: the old reply queue went with the old connection."""
        self._up = True
        for shipment in reversed(list(self._shipments.values())):
            self._drop(shipment)
            for batch in reversed(shipment.batches):
                shipment.lane.put_back(batch)
        for lane in self._lanes.values():
            self._dispatch(lane)

    def disconnected(self) -> None:
        """Hold back what comes until the broker is there again."""
        self._up = False

    def give_up(self, error: MLHubError) -> None:
        """Fail all that wait."""
        for shipment in list(self._shipments.values()):
            self._fail(shipment, error)
        for lane in self._lanes.values():
            for waiter in lane.waiting():
                self._fail_one(waiter, error)
            self._dispatch(lane)

    def refused(self, identity: str) -> None:
        """Push back: the queue is full."""
        shipment = self._shipments.get(identity)
        if shipment is not None:
            self._fail(shipment, full("queue_full"))

    def replied(self, identity: str, reply: Reply) -> None:
        """Give each request its part; a reply nobody waits for any more means nothing."""
        shipment = self._shipments.get(identity)
        if shipment is None:
            return
        answers = _answers(reply)
        if len(answers) == len(shipment.batches):
            self._answer(shipment, answers)
        elif reply.status == _REVOKED:
            self._fail(
                shipment,
                UnavailableError("The queue was emptied by an operator; try again.", code="queue_purged"),
            )
        elif len(shipment.batches) > 1:
            _LOG.error(
                "a predict worker failed on message %s: %s; each of its batches is tried alone",
                identity,
                reply.result,
                extra=shipment.named,
            )
            self._drop(shipment)
            for batch in shipment.batches:
                self._send(Shipment(shipment.lane, shipment.slots, [batch], _time()))
        else:
            _LOG.error(
                "a predict worker failed on message %s: %s", identity, reply.result, extra=shipment.named
            )
            self._fail(shipment, BackendError("The predict worker failed on this; its log has the reason."))

    def _batches(self) -> int:
        return sum(len(shipment.batches) for shipment in self._shipments.values())

    def _dispatch(self, lane: Lane) -> None:
        """Send all that should go out now."""
        lane.scheduled = False
        while self._up and (taken := lane.take()) is not None:
            slots, batches = taken
            # Empty when nobody wants what waited any more.
            if batches:
                self._send(Shipment(lane, slots, batches, _time()))

    def _send(self, shipment: Shipment) -> None:
        loop = asyncio.get_running_loop()
        # The message is of use until the last of its requests is given up; the others keep their own time.
        expires_in = max(0.0, shipment.deadline - shipment.sent_at)
        shipment.timer = loop.call_later(expires_in + _LEEWAY, self._forget, shipment)
        self._shipments[shipment.identity] = shipment
        shipment.slots.sent(shipment.requests)
        queue = topology.predict_queue_name(shipment.batches[0].group.target.backend)
        for batch in shipment.batches:
            shipment.lane.meter.sent(batch)
        trace = "" if self._tracing is None else shipment.trace(self._tracing, queue)
        payloads = tuple([ENCODER.encode(batch.request(trace)) for batch in shipment.batches])
        self._send_message(Message(shipment.identity, topology.PREDICT, queue, payloads, expires_in))

    def _answer(self, shipment: Shipment, answers: Sequence[BatchReply]) -> None:
        roundtrip = _time() - shipment.sent_at
        shipment.slots.took(roundtrip)
        for batch, answered in zip(shipment.batches, answers, strict=True):
            batch.group.took(answered.backend_time)
            shipment.lane.meter.answered(max(0.0, roundtrip - answered.backend_time))
        # First the next message: the worker has it while these answers are written.
        self._drop(shipment)
        self._dispatch(shipment.lane)
        for batch, answered in zip(shipment.batches, answers, strict=True):
            queue_time = max(0.0, roundtrip - answered.backend_time)
            waiters = iter(batch.waiters)
            for part in answered.parts:
                given = [next(waiters) for _ in range(part.count)]
                self._give(part, given, answered.backend_time, queue_time)

    def _fail(self, shipment: Shipment, error: MLHubError) -> None:
        if shipment.span is not None:
            shipment.span.end(error.code)
        for batch in shipment.batches:
            for waiter in batch.waiters:
                self._fail_one(waiter, error)
        self._forget(shipment)

    def _forget(self, shipment: Shipment) -> None:
        """Free the slot of a message whose reply will not come: nobody waits for it any more."""
        self._drop(shipment)
        self._dispatch(shipment.lane)

    def _give(self, part: Part, waiters: list[Waiter], backend_time: float, queue_time: float) -> None:
        """Settle the requests that a part answers."""
        if part.code:
            for waiter in waiters:
                self._fail_one(waiter, part.error())
            return
        shared = Outputs(part.outputs, backend_time, queue_time)
        if len(waiters) == 1:
            self._answer_one(waiters[0], Answer(shared))
            return
        start = 0
        for waiter in waiters:
            end = start + waiter.rows.count
            self._answer_one(waiter, Answer(shared, start, end))
            start = end

    def _answer_one(self, waiter: Waiter, answer: Answer) -> None:
        if not waiter.is_settled:
            self._settle(waiter)
            try:
                waiter.answered(answer)
            except Exception:  # noqa: BLE001 (the edge of a request: those of the others go on)
                _LOG.exception("an answer was lost on its way out", extra=logs.of([waiter.request]))

    def _fail_one(self, waiter: Waiter, error: MLHubError) -> None:
        if not waiter.is_settled:
            self._settle(waiter)
            waiter.failed(error)

    def _expire(self, waiter: Waiter) -> None:
        error = DeadlineError(f"No answer came within {waiter.wait:g} seconds; try again or wait longer.")
        self._fail_one(waiter, error)

    def _settle(self, waiter: Waiter) -> None:
        waiter.is_settled = True
        self._pending -= 1
        self._deadlines.remove(waiter)

    def _drop(self, shipment: Shipment) -> None:
        if self._shipments.pop(shipment.identity, None) is not None:
            shipment.slots.ended(shipment.requests)
        if shipment.timer is not None:
            shipment.timer.cancel()
        if shipment.span is not None:
            shipment.span.end()


def _answers(reply: Reply) -> Sequence[BatchReply]:
    """Return what a worker says of each batch; nothing when it failed, or cannot be understood."""
    if reply.status != _SUCCESS:
        return ()
    try:
        return [REPLY.decode(raw) for raw in reply.result]
    except (msgspec.DecodeError, TypeError):
        return ()


def _time() -> float:
    return asyncio.get_running_loop().time()


def full(code: str) -> UnavailableError:
    """Say that more predictions wait than may."""
    return UnavailableError("Too many predictions wait already; try again in a moment.", code=code)
