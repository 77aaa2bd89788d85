"""The link to RabbitMQ: a thread that keeps one connection, publishes messages and receives replies.

The event loop never touches a socket of the broker. It leaves messages in the outbox and wakes the
thread; the thread reports what happened, everything of one wake-up in a single call to the loop.
"""

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from kombu.entity import Queue

from mlhub.api.gateway.message import Events, Message
from mlhub.api.gateway.session import STOP, Session
from mlhub.common import topology

_LOG = logging.getLogger(__name__)

_HEARTBEAT: Final = 10
"""Seconds; a broker that says nothing for two of them is gone."""
_CONNECT: Final = 4
"""Seconds one attempt to connect may take."""
_WRITE: Final = 10
"""Seconds after which a blocked write counts as a lost connection."""
_PAUSES: Final = (0.1, 0.2, 0.5, 1.0)
"""Seconds before the next attempt to connect; the last one repeats."""


class BrokerLink:
    """Publishes tasks in Celery's message format and receives their results."""

    def __init__(self, broker_url: str, queues: Iterable[Queue], events: Events) -> None:
        # Replies come to the link's own queue, so that the application needs no result backend.
        self._app = topology.celery_app(broker_url, result_backend="disabled://")
        self._queues = tuple(queues)
        self._events = events
        self._outbox: deque[Message] = deque()
        self._reports: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="broker-link", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to connect; called on the event loop that gets the reports."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """Close the connection and end the thread."""
        self._stopping.set()
        self.send(STOP)
        self._thread.join()
        os.close(self._wake)

    def send(self, message: Message) -> None:
        """Leave a message for the thread to publish; returns at once."""
        self._outbox.append(message)
        os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            started = False
            try:
                with self._app.connection_for_write(
                    heartbeat=_HEARTBEAT, connect_timeout=_CONNECT, transport_options=self._options()
                ) as connection:
                    session = Session(self._app, connection, self._queues, self._report, self._events)
                    started, failures = True, 0
                    self._report(self._events.connected)
                    self._flush()
                    session.serve(self._outbox, self._wake, self._flush)
            except Exception as error:  # noqa: BLE001 (the edge of this thread: a new connection follows)
                _LOG.warning("no connection to the broker: %s", error or type(error).__name__)
                _LOG.debug("the connection ended so:", exc_info=True)
            # Whoever sent what is still here learns of the loss, and decides whether to send it again.
            self._outbox.clear()
            if started:
                self._report(self._events.disconnected)
            self._flush()
            self._stopping.wait(_PAUSES[min(failures, len(_PAUSES) - 1)])
            failures += 1

    def _options(self) -> dict[str, Any]:
        return {
            "write_timeout": _WRITE,
            "on_blocked": lambda _reason: self._report(self._events.blocked, True),  # noqa: FBT003
            "on_unblocked": lambda: self._report(self._events.blocked, False),  # noqa: FBT003
        }

    def _report(self, event: Callable[..., None], *arguments: Any) -> None:
        self._reports.append((event, arguments))

    def _flush(self) -> None:
        if not self._reports or self._loop is None:
            return
        reports, self._reports = self._reports, []
        try:
            self._loop.call_soon_threadsafe(_tell, reports)
        except RuntimeError:
            # The loop is closed: the process ends and nobody waits any more.
            self._stopping.set()


def _tell(reports: list[tuple[Callable[..., None], tuple[Any, ...]]]) -> None:
    for event, arguments in reports:
        event(*arguments)
