"""Calls through the queue that stand by themselves: one message, one outcome."""

import asyncio
from typing import Generic, TypeVar

from mlhub.api.gateway.message import Reply
from mlhub.common.batch import PROBE, Probe
from mlhub.common.errors import BackendError, MLHubError

T = TypeVar("T")


class Call(Generic[T]):
    """What a sent message is waited for; each kind says what the link's reports mean to it."""

    def __init__(self) -> None:
        self.future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def replied(self, reply: Reply) -> None:
        """The worker answered."""

    def confirmed(self) -> None:
        """The broker took the message over."""

    def failed(self, error: MLHubError) -> None:
        """The message was refused or is lost."""

    def _resolve(self, value: T) -> None:
        if not self.future.done():
            self.future.set_result(value)


class ProbeCall(Call[Probe]):
    """Waits for what a predict pool says of its model server."""

    def replied(self, reply: Reply) -> None:
        """Take the worker's word."""
        if reply.status == "SUCCESS":
            self._resolve(PROBE.decode(reply.result))
        else:
            self.failed(BackendError("The predict worker failed; its log has the reason."))

    def failed(self, error: MLHubError) -> None:
        """Let the caller know why there will be no answer."""
        if not self.future.done():
            self.future.set_exception(error)


class JobCall(Call[bool]):
    """Waits until the broker has taken a job's message over: true; or not: false."""

    def confirmed(self) -> None:
        """The message is safe."""
        self._resolve(value=True)

    def failed(self, error: MLHubError) -> None:
        """The message is not there; the record that it stood for is."""
        del error
        self._resolve(value=False)
