"""The operations calls of a hub as methods: how it is, its backends, queues, workers and pools."""

from typing import Final
from urllib.parse import quote

import msgspec

from mlhub.client.address import workers_path
from mlhub.client.calls import JSON, Calls
from mlhub.client.errors import HubError
from mlhub.client.records import Pools, Status, read
from mlhub.client.transport import Repeat
from mlhub.common.deadletter import DeadLetter, Retried
from mlhub.common.operations import BackendState, Purged, QueueState, WorkerState

_DEAD: Final = "mlhub.dead"
"""The queue of dead letters."""


class Operations(Calls):
    """What operators ask of a hub; the client is one."""

    def status(self) -> Status:
        """Return how the hub and its parts are."""
        return read(self._http.call("GET", "/status", repeat=Repeat.SAFE), Status)

    def ready(self) -> bool:
        """Tell whether the hub can answer predictions now; one that cannot be reached cannot."""
        try:
            self._http.call("GET", "/health/ready", repeat=Repeat.NEVER)
        except HubError:
            return False
        return True

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

    def pools(self, backend: str) -> Pools:
        """Return how many processes the pools of a backend have and should have."""
        return read(self._http.call("GET", workers_path(backend), repeat=Repeat.SAFE), Pools)

    def scale(self, backend: str, **sizes: int) -> Pools:
        """Have pools of a backend brought to a size, and return them as they are now.

        Args:
            backend: its name.
            sizes: processes of `predict`, `jobs` and `servers`; those not given stay as they are.
        """
        body = msgspec.json.encode(sizes)
        response = self._http.call("PUT", workers_path(backend), data=body, headers=JSON, repeat=Repeat.SAFE)
        return read(response, Pools)
