"""The link to RabbitMQ: one connection after the other, as long as the process lives."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Final

from kombu.entity import Queue

from mlhub.api.gateway.message import Events, Message
from mlhub.api.gateway.session import Session
from mlhub.common import topology

_LOG = logging.getLogger(__name__)

_PAUSES: Final = (0.1, 0.2, 0.5, 1.0)
"""Seconds before the next attempt to connect; the last one repeats."""


class BrokerLink:
    """Publishes tasks in Celery's message format and receives their results."""

    def __init__(self, broker_url: str, queues: Iterable[Queue], events: Events) -> None:
        # Replies come to the link's own queue, so that the application needs no result backend.
        self._app = topology.celery_app(broker_url, result_backend="disabled://")
        self._queues = tuple(queues)
        self._events = events
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to connect; called on the event loop that gets the reports."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Close the connection."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def send(self, message: Message) -> None:
        """Publish a message; without a connection it is dropped: its sender is told of `disconnected`."""
        if self._session is not None:
            self._session.publish(message)

    def beat(self, body: bytes) -> None:
        """Send a sign of life, if there is a connection."""
        if self._session is not None:
            self._session.beat(body)

    @property
    def product(self) -> str | None:
        """Name and version of the broker; nothing without a connection."""
        return None if self._session is None else self._session.product

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                session = await asyncio.to_thread(Session, self._app, self._queues, self._events)
            except Exception as error:  # noqa: BLE001 (whatever keeps it from connecting: it tries again)
                self._report(error)
            else:
                failures = 0
                self._report(await self._serve(session))
            await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
            failures += 1

    async def _serve(self, session: Session) -> Exception:
        """Use a connection until it is lost; return why it was."""
        lost: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        try:
            session.attach(lost.set_result)
            self._session = session
            self._events.connected()
            return await lost
        finally:
            self._session = None
            session.detach()
            # Whoever sent what has no reply yet learns of the loss, and decides whether to send it again.
            self._events.disconnected()
            await asyncio.shield(asyncio.to_thread(session.close))

    @staticmethod
    def _report(error: Exception) -> None:
        _LOG.warning("no connection to the broker: %s", error or type(error).__name__)
        _LOG.debug("the connection ended so:", exc_info=error)
