"""`/backends/{backend}/workers`: how many processes the pools of a backend have and should have."""

import asyncio
from typing import Annotated

import falcon.asgi
import msgspec

from mlhub.api.bodies import read_json
from mlhub.api.responses import send
from mlhub.api.services.pools import PoolService
from mlhub.common.errors import UnacceptableError
from mlhub.common.pool import PoolKind

_Size = Annotated[int, msgspec.Meta(ge=0, le=1000)]


class Sizes(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a change: processes that pools are to have; those not named stay as they are."""

    predict: _Size | msgspec.UnsetType = msgspec.UNSET
    jobs: _Size | msgspec.UnsetType = msgspec.UNSET
    servers: _Size | msgspec.UnsetType = msgspec.UNSET


_SIZES = msgspec.json.Decoder(Sizes)


class PoolsResource:
    """The pools of one backend."""

    def __init__(self, pools: PoolService, max_json_bytes: int) -> None:
        self._pools = pools
        self._max_json_bytes = max_json_bytes

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, backend: str) -> None:
        """Show them."""
        del req
        states = await asyncio.to_thread(self._pools.show, backend)
        send(resp, {"backend": backend, **states})

    async def on_put(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, backend: str) -> None:
        """Have them brought to a size; how far that is, `GET` tells."""
        body = await read_json(req, _SIZES, self._max_json_bytes)
        sizes = {PoolKind(name): size for name, size in msgspec.to_builtins(body).items()}
        if not sizes:
            raise UnacceptableError(
                'Name a pool and its size, as in {"predict": 2, "jobs": 1, "servers": 1}.', code="bad_body"
            )
        states = await asyncio.to_thread(self._pools.resize, backend, sizes)
        resp.set_header("Location", req.path)
        send(resp, {"backend": backend, **states}, 202)
