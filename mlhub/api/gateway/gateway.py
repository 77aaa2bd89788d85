"""The gateway: the way of one API process to all predict and job pools."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol
from uuid import uuid4

from mlhub.api.gateway.answer import Answer
from mlhub.api.gateway.batcher import Batcher, full
from mlhub.api.gateway.call import Call, JobCall, ProbeCall
from mlhub.api.gateway.group import Target, Waiter
from mlhub.api.gateway.link import BrokerLink
from mlhub.api.gateway.message import Message, Reply
from mlhub.api.gateway.slots import Limits
from mlhub.common import topology
from mlhub.common.batch import Probe
from mlhub.common.errors import DeadlineError, UnavailableError
from mlhub.common.rows import Rows
from mlhub.common.settings import Settings
from mlhub.common.tally import Tally
from mlhub.common.tracing import Tracing


class Listener(Protocol):
    """Whoever wants to know of the hub's processes; always told on the event loop."""

    def connected(self) -> None:
        """From now on all signs of life are heard."""

    def disconnected(self) -> None:
        """None is heard until the broker is there again."""

    def heard(self, body: bytes | str) -> None:
        """A process gave a sign of life."""


class Gateway:
    """Sends predictions, jobs and probes, and knows whether the broker is there."""

    def __init__(
        self, settings: Settings, listener: Listener, tally: Tally, tracing: Tracing | None = None
    ) -> None:
        queues = [queue for name in settings.backends for queue in topology.backend_queues(name)]
        limits = {
            name: Limits(backend.batch_rows, backend.batch_bytes, backend.slots, backend.slots_ahead)
            for name, backend in settings.backends.items()
        }
        self._link = BrokerLink(settings.broker_url, queues, self)
        self._batcher = Batcher(limits, settings.max_pending, self._link.send, tally, tracing)
        self._calls: dict[str, Call[Any]] = {}
        self._listener = listener
        self._grace = settings.broker_grace
        self._up = False
        self._blocked = False
        self._given_up = False
        """Whether the broker has been away for longer than clients are kept waiting for it."""
        self._patience: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to connect; called on the event loop."""
        self._wait_for_broker()
        self._link.start()

    async def stop(self) -> None:
        """Close the connection; what still waits gets no answer."""
        await self._link.stop()

    @property
    def reachable(self) -> bool:
        """Whether the broker is connected and takes messages."""
        return self._up and not self._blocked

    @property
    def product(self) -> str | None:
        """Name and version of the broker, while it is connected."""
        return self._link.product

    def beat(self, body: bytes) -> None:
        """Tell all processes of the API, this one included, that this one lives."""
        self._link.beat(body)

    async def predict(self, target: Target, rows: Rows, wait: float) -> Answer:
        """Predict through the queue, together with whatever else goes the same way.

        Args:
            target: which model, where.
            rows: its inputs, checked against the signature.
            wait: seconds after which the client gives up.

        Raises:
            UnavailableError: the broker is away, or its queue or this process is full.
            DeadlineError: no answer came in time.
            BackendError: the model server failed, or refused this request.
        """
        if self._given_up or self._blocked:
            raise _away()
        return await self._batcher.predict(target, rows, wait)

    def submit(self, target: Target, waiter: Waiter) -> None:
        """Do the same for a request that will be told its answer, and `failed` with the other errors.

        Raises:
            UnavailableError: the broker is away, or this process is full.
        """
        if self._given_up or self._blocked:
            raise _away()
        self._batcher.submit(target, waiter)

    async def probe(self, backend: str, wait: float) -> Probe:
        """Ask a predict pool how its model server is, by the way that predictions take.

        Raises:
            UnavailableError: the broker is away or the queue is full.
            DeadlineError: no worker answered within `wait` seconds.
        """
        if not self.reachable:
            raise _away()
        message = Message(str(uuid4()), topology.PROBE, topology.predict_queue_name(backend), (), wait)
        try:
            answer: Probe = await self._call(message, ProbeCall(), wait)
        except TimeoutError:
            raise DeadlineError(f"No predict worker of {backend} answered within {wait:g} seconds.") from None
        return answer

    async def publish_job(self, task: str, record: str, backend: str) -> bool:
        """Tell a job pool to look at a record; tell whether the broker took the message over.

        A message that was not taken over is no loss: the record is kept, and the sweeper finds it.
        """
        return await self._publish(task, record, backend)

    async def publish_predictions(self, names: Sequence[str], backend: str) -> bool:
        """Tell a job pool to look at some groups of asynchronous predictions, as `publish_job` does."""
        return await self._publish(topology.JOB_PREDICT, list(names), backend)

    async def _publish(self, task: str, argument: str | list[str], backend: str) -> bool:
        if not self.reachable:
            return False
        message = Message(str(uuid4()), task, topology.job_queue_name(task, backend), (argument,), None)
        try:
            taken: bool = await self._call(message, JobCall(), self._grace)
        except TimeoutError:
            return False
        return taken

    async def _call(self, message: Message, call: Call[Any], wait: float) -> Any:
        self._calls[message.id] = call
        self._link.send(message)
        try:
            async with asyncio.timeout(wait):
                return await call.future
        finally:
            del self._calls[message.id]

    def connected(self) -> None:
        """Take the link into use."""
        self._up, self._blocked, self._given_up = True, False, False
        if self._patience is not None:
            self._patience.cancel()
        self._listener.connected()
        self._batcher.connected()

    def disconnected(self) -> None:
        """Keep clients waiting for a while, in the hope of a quick return."""
        self._up = False
        self._listener.disconnected()
        self._wait_for_broker()
        self._batcher.disconnected()
        for call in list(self._calls.values()):
            call.failed(_away())

    def heard(self, body: bytes | str) -> None:
        """Pass a sign of life on."""
        self._listener.heard(body)

    def blocked(self, blocked: bool) -> None:  # noqa: FBT001 (an event, told by position like the others)
        """Refuse new requests while the broker takes no messages."""
        self._blocked = blocked

    def confirmed(self, identity: str) -> None:
        """Note that a message is safe; a batch is done with its reply only."""
        call = self._calls.get(identity)
        if call is not None:
            call.confirmed()

    def refused(self, identity: str) -> None:
        """Push back: the queue is full."""
        call = self._calls.get(identity)
        if call is not None:
            call.failed(full("queue_full"))
        else:
            self._batcher.refused(identity)

    def replied(self, identity: str, reply: Reply) -> None:
        """Pass a reply to whoever waits for it."""
        call = self._calls.get(identity)
        if call is not None:
            call.replied(reply)
        else:
            self._batcher.replied(identity, reply)

    def _wait_for_broker(self) -> None:
        self._patience = asyncio.get_running_loop().call_later(self._grace, self._give_up)

    def _give_up(self) -> None:
        self._given_up = True
        self._batcher.give_up(_away())


def _away() -> UnavailableError:
    return UnavailableError(
        "The message broker does not answer; try again in a moment.", code="broker_unavailable", retry_after=2
    )
