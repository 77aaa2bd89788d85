"""The operations calls of a hub as methods: backends, queues, workers."""

from urllib.parse import quote

from mlhub.client.records import read
from mlhub.client.transport import Repeat, Transport
from mlhub.common.operations import BackendState, Purged, QueueState, WorkerState


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

    def workers(self) -> list[WorkerState]:
        """Return the worker processes that live."""
        return read(self._http.call("GET", "/workers", repeat=Repeat.SAFE), list[WorkerState])
