"""Counting batches on their way: it reads what matters of messages and replies, and changes nothing."""

import time
from collections.abc import Callable
from typing import Final

import msgspec

from mlhub.api.gateway.message import Message, Reply
from mlhub.common import metrics
from mlhub.common.tally import Tally

_MOST: Final = 10_000
"""Messages that are remembered: a reply that never comes must not stay for ever."""


class _Request(msgspec.Struct, array_like=True):
    """The beginning of a `BatchRequest`; what is large is not decoded."""

    model: msgspec.Raw
    deployment: msgspec.Raw
    inputs: msgspec.Raw
    sizes: tuple[int, ...]


class _Reply(msgspec.Struct, array_like=True):
    """A `BatchReply` without its parts."""

    parts: msgspec.Raw
    backend_time: float


class _Sent(msgspec.Struct, frozen=True):
    """A message that has no reply yet."""

    backend: str
    time: float
    """When it was sent, by a clock that only this process has."""
    lost: float
    """When nobody waits for it any more."""


_REQUEST: Final = msgspec.msgpack.Decoder(_Request)
_REPLY: Final = msgspec.msgpack.Decoder(_Reply)


class BatchMeter:
    """What is counted of batches, by backend."""

    def __init__(self, tally: Tally, clock: Callable[[], float] = time.perf_counter) -> None:
        self._tally = tally
        self._clock = clock
        self._sent: dict[str, _Sent] = {}
        tally.gauge(metrics.BATCHES_PENDING, self._pending)

    def sent(self, message: Message, backend: str) -> None:
        """Count what goes out."""
        now = self._clock()
        if len(self._sent) >= _MOST:
            del self._sent[next(iter(self._sent))]
        self._sent[message.id] = _Sent(backend, now, now + (message.expires_in or 0.0))
        for payload in message.arguments:
            sizes = _REQUEST.decode(payload).sizes
            self._tally.histogram(metrics.BATCH_REQUESTS, backend).observe(len(sizes))
            self._tally.histogram(metrics.BATCH_ROWS, backend).observe(sum(sizes))

    def replied(self, identity: str, reply: Reply) -> None:
        """Count how long batches waited, of those that the worker did."""
        sent = self._sent.pop(identity, None)
        if sent is None or reply.status != "SUCCESS":
            return
        took = self._clock() - sent.time
        waits = self._tally.histogram(metrics.QUEUE_WAIT, sent.backend)
        for result in reply.result if isinstance(reply.result, list | tuple) else (reply.result,):
            waits.observe(max(0.0, took - _REPLY.decode(result).backend_time))

    def lost(self) -> None:
        """Forget what was sent: no reply to it will come."""
        self._sent.clear()

    def _pending(self) -> int:
        now = self._clock()
        self._sent = {key: sent for key, sent in self._sent.items() if sent.lost > now}
        return len(self._sent)
