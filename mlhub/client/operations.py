"""The operations calls of a hub as methods: backends, queues, workers."""

from typing import Final
from urllib.parse import quote

from mlhub.client.records import read
from mlhub.client.transport import Repeat, Transport
from mlhub.common.deadletter import DeadLetter, Retried
from mlhub.common.operations import BackendState, Purged, QueueState, WorkerState

_DEAD: Final = "mlhub.dead"
"""The queue of dead letters."""


class Operations:
    """What operators ask of a hub; the client is one."""

    _http: Transport

    def backends(self) -> list[BackendState]:
        """Return the backends with their pools and queues."""
        return read(self._http.call("GET", "/backends", repeat=Repeat.SAFE), list[BackendState])

    def queues(self) -> list[QueueState]:
        """Return all queues, also those nobody listens to."""
        return read(self._http.call("GET", "/queues", repeat=Repeat.SAFE), list[QueueState])

    def purge(self, queue: str) -> Purged:
        """Take all messages from a queue; predictions that waited there are canceled."""
        path = f"/queues/{quote(queue, safe='')}/messages"
        return read(self._http.call("DELETE", path), Purged)

    def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """Return messages of work that was given up, oldest first; they stay."""
        path = f"/queues/{_DEAD}/messages?limit={limit}"
        return read(self._http.call("GET", path, repeat=Repeat.SAFE), list[DeadLetter])

    def retry_dead_letters(self, identity: str | None = None) -> Retried:
        """Have work tried once more that was given up: all of it, or that of one message."""
        one = "" if identity is None else f"/messages/{quote(identity, safe='')}"
        return read(self._http.call("POST", f"/queues/{_DEAD}{one}/retry"), Retried)

    def workers(self) -> list[WorkerState]:
        """Return the worker processes that live."""
        return read(self._http.call("GET", "/workers", repeat=Repeat.SAFE), list[WorkerState])
