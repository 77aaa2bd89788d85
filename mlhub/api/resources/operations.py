"""`/backends`, `/queues` and `/workers`: the hub as its operators see it."""

import falcon.asgi

from mlhub.api.operations.service import OperationsService, PurgeService
from mlhub.api.responses import send


class BackendsResource:
    """Backends with their pools and queues."""

    def __init__(self, operations: OperationsService) -> None:
        self._operations = operations

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, backend: str | None = None
    ) -> None:
        """Show all, or the one that is named."""
        del req
        if backend is None:
            send(resp, await self._operations.backends())
        else:
            send(resp, await self._operations.backend(backend))
        _date(resp, self._operations)


class QueuesResource:
    """The broker's queues."""

    def __init__(self, operations: OperationsService) -> None:
        self._operations = operations

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, queue: str | None = None
    ) -> None:
        """Show all, or the one that is named."""
        del req
        if queue is None:
            send(resp, await self._operations.queues())
        else:
            send(resp, await self._operations.queue(queue))
        _date(resp, self._operations)


class MessagesResource:
    """What waits in a queue."""

    def __init__(self, purging: PurgeService) -> None:
        self._purging = purging

    async def on_delete(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, queue: str) -> None:
        """Empty the queue, and say what that did."""
        del req
        send(resp, await self._purging.purge(queue))


class WorkersResource:
    """Worker processes."""

    def __init__(self, operations: OperationsService) -> None:
        self._operations = operations

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, worker: str | None = None
    ) -> None:
        """Show all that live, or the one that is named."""
        del req
        if worker is None:
            send(resp, await self._operations.workers())
        else:
            send(resp, await self._operations.worker(worker))
        resp.set_header("Cache-Control", "no-store")


def _date(resp: falcon.asgi.Response, operations: OperationsService) -> None:
    """Say how old it is (RFC 9111)."""
    resp.set_header("Age", str(round(operations.age)))
    resp.set_header("Cache-Control", "no-store")
