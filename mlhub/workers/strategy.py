"""Celery's strategy for batches: what becomes of their messages between arrival and acknowledgement.

A strategy is the place that Celery has for this (`celery.worker.strategy`). Its own builds a request with
everything a task may ask for, traces it, and hands the result to a pool of connections; for a batch, which
needs none of that, this costs more than the rest of the worker. Kept are Celery's pool, its bookkeeping of
active tasks, late acknowledgement, and the reply that its `rpc://` result backend would send.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from amqp import spec
from amqp.basic_message import Message as Content
from celery import states
from celery.worker.state import task_accepted, task_ready, task_reserved

from mlhub.common import topology

NAME: Final = "mlhub.workers.strategy:batches"
"""What a Celery task takes as its `Strategy`."""

_LOG = logging.getLogger(__name__)

_BODY: Final = msgspec.msgpack.Decoder(tuple[tuple[bytes, ...], Any, Any])
_ENCODER: Final = msgspec.msgpack.Encoder()


def batches(task: Any, app: Any, consumer: Any) -> Callable[..., None]:
    """Return what takes the messages of a task whose arguments and result are bytes."""
    del app
    pool, hostname = consumer.pool, consumer.hostname
    # py-amqp raises the last one on a connection that has just been lost.
    lost: tuple[type[Exception], ...] = (*consumer.connection_errors, AttributeError)

    def on_message(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any) -> None:
        del body, reject, callbacks
        delivery = Delivery(task, hostname, message)
        if delivery.expired:
            # Whoever sent it waits no more.
            ack(_LOG, lost)
            return
        task_reserved(delivery)
        pool.apply_async(delivery.run, (lost,), callback=_nothing)

    return on_message


class Delivery:
    """A message in hand; to Celery's bookkeeping and to `inspect` it is a request."""

    __slots__ = ("__weakref__", "_message", "acknowledged", "hostname", "id", "name", "task", "time_start")

    def __init__(self, task: Any, hostname: str, message: Any) -> None:
        self.task = task
        self.id: str = message.headers["id"]
        self.name: str = task.name
        self.hostname = hostname
        self.acknowledged = False
        self.time_start: float | None = None
        self._message = message

    @property
    def expired(self) -> bool:
        """Whether it came too late."""
        expires = self._message.headers.get("expires")
        return expires is not None and datetime.fromisoformat(expires) < datetime.now(UTC)

    def run(self, lost: tuple[type[Exception], ...]) -> None:
        """Do the work in a thread of the pool, reply, and acknowledge.

        When the connection is lost meanwhile, nothing is: the broker delivers the message once more.
        """
        self.time_start = time.time()
        task_accepted(self)
        try:
            reply = self._work()
            self._reply(reply)
            self._message.ack()
            self.acknowledged = True
        except lost as error:
            _LOG.warning("message %s goes to another worker: %s", self.id, error or type(error).__name__)
        finally:
            task_ready(self)

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 (Celery's own signature)
        """Describe it for `inspect`."""
        del safe
        return {
            "id": self.id,
            "name": self.name,
            "type": self.name,
            "hostname": self.hostname,
            "time_start": self.time_start,
            "acknowledged": self.acknowledged,
            "delivery_info": self._message.delivery_info,
        }

    def cancel(self, pool: Any, signal: Any = None, emit_retry: bool = True) -> None:  # noqa: FBT001, FBT002
        """Let it be: a thread cannot be stopped, and its reply does no harm."""

    def _work(self) -> dict[str, Any]:
        try:
            arguments, _, _ = _BODY.decode(self._message.body)
            return {"status": states.SUCCESS, "result": self.task.run(*arguments)}
        except Exception as error:  # noqa: BLE001
            # The edge of this thread: the sender learns of it, and the log has it.
            _LOG.exception("message %s failed unexpectedly", self.id)
            return {"status": states.FAILURE, "result": type(error).__name__}

    def _reply(self, reply: dict[str, Any]) -> None:
        properties = self._message.properties
        content = Content(
            _ENCODER.encode(reply),
            correlation_id=properties["correlation_id"],
            content_type=topology.CONTENT_TYPE,
            content_encoding="binary",
            delivery_mode=topology.TRANSIENT,
        )
        # On the channel the message came by: reply and acknowledgement go together or not at all.
        arguments = (0, "", properties["reply_to"], False, False)
        self._message.channel.send_method(spec.Basic.Publish, "Bssbb", arguments, content)


def _nothing(result: Any) -> None:
    del result
