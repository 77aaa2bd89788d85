"""The dispatcher: puts asynchronous predictions on the queues again that nobody works on though it is time.

A record is kept before its message is sent, so a broker that loses messages, or a process that dies in
between, loses no work. It may run in many processes: one of them acts.
"""

import logging
import secrets
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from mlhub.common import topology
from mlhub.common.errors import MLHubError
from mlhub.storage.database import now
from mlhub.storage.groups import Group
from mlhub.storage.leases import LeaseStore
from mlhub.storage.work import WorkStore
from mlhub.workers.sweeper import Publish, Waiting

_LOG = logging.getLogger(__name__)

_TASK: Final = "dispatch"
_TICK: Final = 1.0
"""Seconds between two looks."""
_MESSAGE: Final = 64
"""Predictions that one message names, unless they are one group."""
_LOST_FOR_CERTAIN: Final = timedelta(minutes=5)
"""Time after which a message that no worker took up counts as lost though its queue is not empty."""


class Dispatcher:
    """Looks after the work of all backends, in a thread of its own."""

    def __init__(
        self, work: WorkStore, leases: LeaseStore, publish: Publish, waiting: Waiting, lease: timedelta
    ) -> None:
        self._work = work
        self._leases = leases
        self._publish = publish
        self._waiting = waiting
        self._lease = lease
        self._holder = secrets.token_hex(8)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the look that is under way."""
        self._stop.set()
        self._thread.join()

    def dispatch(self) -> int:
        """Publish what is due, if no other process does; return how many groups of predictions that were.

        Raises:
            UnavailableError: the database or the broker is away.
        """
        if not self._leases.take(_TASK, self._holder, self._lease):
            return 0
        by_backend: dict[str, list[Group]] = {}
        for group in self._work.due():
            by_backend.setdefault(group.backend, []).append(group)
        return sum(self._take_up(backend, groups) for backend, groups in by_backend.items())

    def _take_up(self, backend: str, groups: Sequence[Group]) -> int:
        # A message that was sent waits in the queue, most likely; it is lost for certain when that is empty.
        drained = self._waiting(backend) == 0
        before = now() - _LOST_FOR_CERTAIN
        lost = [group for group in groups if drained or not group.announced_after(before)]
        for message in messages(lost):
            self.send(backend, message)
        return len(lost)

    def send(self, backend: str, groups: Sequence[Group]) -> None:
        """Put the message of some groups on their queue."""
        names = [group.id for group in groups]
        # In this order: of what is marked and not sent nobody hears until it is due again.
        self._work.mark_published(names, now())
        self._publish(topology.JOB_PREDICT, names, backend)

    def _run(self) -> None:
        while not self._stop.wait(_TICK):
            try:
                count = self.dispatch()
            except MLHubError as error:
                _LOG.warning("dispatching put off: %s", error)
            except Exception:  # noqa: BLE001 (the edge of this thread: one surprise must not end it)
                _LOG.exception("dispatching failed")
            else:
                if count:
                    _LOG.info("%d groups of predictions were put on their queues again", count)
        try:
            self._leases.give_back(_TASK, self._holder)
        except MLHubError as error:
            _LOG.info("the lease on dispatching ends by itself: %s", error)


def messages(groups: Sequence[Group]) -> list[list[Group]]:
    """Put groups together that one message names: small ones, of one lane."""
    made: list[list[Group]] = []
    size = 0
    for group in sorted(groups, key=lambda group: (group.lane, group.id)):
        size += len(group.open)
        if made and made[-1][0].lane == group.lane and size <= _MESSAGE:
            made[-1].append(group)
        else:
            made.append([group])
            size = len(group.open)
    return made
