"""The batcher: collects requests into batches, sends them and splits their replies.

Everything here runs on the event loop of one API process.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final
from uuid import uuid4

from mlhub.api.gateway.group import Answer, Batch, Group, Key, Limits, Outputs, Target, Waiter
from mlhub.api.gateway.message import Message, Reply
from mlhub.common import topology
from mlhub.common.batch import ENCODER, REPLY, Part
from mlhub.common.errors import BackendError, DeadlineError, MLHubError, UnavailableError
from mlhub.common.rows import Rows

_LOG = logging.getLogger(__name__)

_SUCCESS: Final = "SUCCESS"
_REVOKED: Final = "REVOKED"
_LEEWAY: Final = 1.0
"""Seconds that a batch's slot stays taken after its last request was given up."""


class Batcher:
    """Predictions of one API process on their way through the queue."""

    def __init__(
        self, limits: Mapping[str, Limits], max_pending: int, send: Callable[[Message], None]
    ) -> None:
        self._limits = limits
        self._max_pending = max_pending
        self._send_message = send
        self._groups: dict[Key, Group] = {}
        self._batches: dict[str, Batch] = {}
        self._pending = 0
        self._up = False

    async def predict(self, target: Target, rows: Rows, wait: float) -> Answer:
        """Put a request among those that wait, and wait for its answer.

        Raises:
            UnavailableError: too many wait already, or the broker went away and did not come back.
            DeadlineError: no answer came within `wait` seconds.
            BackendError: the model server failed, or refused this request.
        """
        if self._pending >= self._max_pending:
            raise full("overloaded")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        group = self._group(target, rows)
        group.waiting.append(Waiter(rows, future, loop.time() + wait))
        if not group.scheduled:
            # Looked at once the loop has taken in all that came at the same time, so that it goes together.
            group.scheduled = True
            loop.call_soon(self._dispatch, group)
        timer = loop.call_later(wait, _expire, future, wait)
        self._pending += 1
        try:
            return await future
        finally:
            self._pending -= 1
            timer.cancel()

    def connected(self) -> None:
        """Send again what has no reply yet: the old reply queue went with the old connection."""
        self._up = True
        for batch in list(self._batches.values()):
            self._drop(batch)
            batch.group.waiting.extendleft(reversed(batch.waiters))
        for group in list(self._groups.values()):
            self._dispatch(group)

    def disconnected(self) -> None:
        """Hold back what comes until the broker is there again."""
        self._up = False

    def give_up(self, error: MLHubError) -> None:
        """Fail all that wait."""
        for batch in list(self._batches.values()):
            self._fail(batch, error)
        for group in list(self._groups.values()):
            for waiter in group.waiting:
                _fail_one(waiter, error)
            self._dispatch(group)

    def refused(self, identity: str) -> None:
        """Push back: the queue is full."""
        batch = self._batches.get(identity)
        if batch is not None:
            self._fail(batch, full("queue_full"))

    def replied(self, identity: str, reply: Reply) -> None:
        """Give each request of a batch its part; a reply nobody waits for any more means nothing."""
        batch = self._batches.get(identity)
        if batch is None:
            return
        if reply.status == _SUCCESS:
            self._answer(batch, reply)
        elif reply.status == _REVOKED:
            self._fail(
                batch,
                UnavailableError("The queue was emptied by an operator; try again.", code="queue_purged"),
            )
        else:
            _LOG.error("a predict worker failed on batch %s: %s", identity, reply.result)
            self._fail(batch, BackendError("The predict worker failed on this; its log has the reason."))

    def _group(self, target: Target, rows: Rows) -> Group:
        # Names and types of inputs are those of the deployment's signature; only open extents can differ.
        key = (target, tuple([array.shape[1:] for array in rows.inputs.values()]))
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(key, target, self._limits[target.backend])
        return group

    def _dispatch(self, group: Group) -> None:
        """Send as many batches of a group as it has free slots for."""
        group.scheduled = False
        while self._up and group.ripe:
            waiters = group.take()
            if not waiters:
                break
            self._send(group, waiters)
        if group.idle:
            self._groups.pop(group.key, None)

    def _send(self, group: Group, waiters: list[Waiter]) -> None:
        loop = asyncio.get_running_loop()
        sent_at = loop.time()
        batch = Batch(str(uuid4()), group, waiters, sent_at)
        # The message is of use until the last of its requests is given up; the others keep their own time.
        expires_in = max(waiter.deadline for waiter in waiters) - sent_at
        batch.timer = loop.call_later(expires_in + _LEEWAY, self._forget, batch)
        self._batches[batch.identity] = batch
        group.sent(batch)
        queue = topology.predict_queue_name(group.target.backend)
        payload = ENCODER.encode(batch.request())
        self._send_message(Message(batch.identity, topology.PREDICT, queue, (payload,), expires_in))

    def _answer(self, batch: Batch, reply: Reply) -> None:
        answered = REPLY.decode(reply.result)
        roundtrip = asyncio.get_running_loop().time() - batch.sent_at
        batch.group.took(roundtrip)
        queue_time = max(0.0, roundtrip - answered.backend_time)
        waiters = iter(batch.waiters)
        for part in answered.parts:
            _give(part, [next(waiters) for _ in range(part.count)], answered.backend_time, queue_time)
        self._drop(batch)
        self._dispatch(batch.group)

    def _fail(self, batch: Batch, error: MLHubError) -> None:
        for waiter in batch.waiters:
            _fail_one(waiter, error)
        self._drop(batch)
        self._dispatch(batch.group)

    def _forget(self, batch: Batch) -> None:
        """Free the slot of a batch whose reply will not come: nobody waits for it any more."""
        self._drop(batch)
        self._dispatch(batch.group)

    def _drop(self, batch: Batch) -> None:
        if self._batches.pop(batch.identity, None) is not None:
            batch.group.ended(batch)
        if batch.timer is not None:
            batch.timer.cancel()


def full(code: str) -> UnavailableError:
    """Say that more predictions wait than may."""
    return UnavailableError("Too many predictions wait already; try again in a moment.", code=code)


def _give(part: Part, waiters: list[Waiter], backend_time: float, queue_time: float) -> None:
    """Resolve the requests that a part answers."""
    if part.code:
        for waiter in waiters:
            _fail_one(waiter, part.error())
        return
    shared = Outputs(part.outputs, backend_time, queue_time)
    if len(waiters) == 1:
        _resolve(waiters[0], Answer(shared))
        return
    start = 0
    for waiter in waiters:
        end = start + waiter.rows.count
        _resolve(waiter, Answer(shared, start, end))
        start = end


def _resolve(waiter: Waiter, answer: Answer) -> None:
    if not waiter.future.done():
        waiter.future.set_result(answer)


def _fail_one(waiter: Waiter, error: MLHubError) -> None:
    if not waiter.future.done():
        waiter.future.set_exception(error)


def _expire(future: "asyncio.Future[Answer]", wait: float) -> None:
    if not future.done():
        future.set_exception(
            DeadlineError(f"No answer came within {wait:g} seconds; try again or wait longer.")
        )
