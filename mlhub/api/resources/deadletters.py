"""`/queues/mlhub.dead`: messages of work that was given up."""

import asyncio

import falcon.asgi

from mlhub.api.resources.operations import MessagesResource
from mlhub.api.responses import limit_of, send
from mlhub.api.services.deadletters import DeadLetterService
from mlhub.common import topology

_MOST = 10_000
"""Letters that one call takes up once more."""


class DeadLettersResource:
    """All of them."""

    def __init__(self, dead: DeadLetterService, messages: MessagesResource) -> None:
        self._dead = dead
        self._messages = messages

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Show them, oldest first; they stay."""
        send(resp, await asyncio.to_thread(self._dead.look, limit_of(req)))
        resp.set_header("Cache-Control", "no-store")

    async def on_delete(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Drop them; what they were about stays failed."""
        await self._messages.on_delete(req, resp, topology.DEAD.name)


class RetryResource:
    """Trying once more."""

    def __init__(self, dead: DeadLetterService) -> None:
        self._dead = dead

    async def on_post(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, identity: str | None = None
    ) -> None:
        """Put all, or the one that is named, back on the queues they came from."""
        del req
        send(resp, await asyncio.to_thread(self._dead.retry, identity, _MOST))
