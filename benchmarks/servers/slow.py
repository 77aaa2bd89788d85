"""A server of the Open Inference Protocol whose every call takes 50 ms, whatever the batch: as a GPU does.

Started as `python -m benchmarks.servers.slow PORT LANES`; that many calls are computed at once.
"""

import asyncio
import sys
from typing import Any, Final

import falcon.asgi

from mlhub.common import oip, tensor
from mlhub.common.asgi import AsgiServer

SECONDS: Final = 0.05
_JSON: Final = {
    "inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, 64]}],
    "outputs": [{"name": "predict", "datatype": "FP64", "shape": [-1]}],
    "platform": "slow",
}


class Well:
    """All is well, at any address."""

    async def on_get(self, req: Any, resp: Any, **names: str) -> None:
        """Say so."""
        del req
        resp.media = {"name": "slow", "version": "1", "extensions": [oip.BINARY_EXTENSION], **names, **_JSON}

    async def on_post(self, req: Any, resp: Any, **names: str) -> None:
        """Do as told."""
        del names
        await req.stream.read()
        resp.media = {}


class Infer:
    """Returns the first feature of each row, later."""

    def __init__(self, lanes: int) -> None:
        self._lanes = asyncio.Semaphore(lanes)

    async def on_post(self, req: Any, resp: Any, model: str, version: str) -> None:
        """Predict."""
        body = await req.stream.read()
        length = req.get_header(oip.HEADER_LENGTH)
        request = oip.decode_request(body, None if length is None else int(length))
        (rows,) = request.inputs.values()
        async with self._lanes:
            await asyncio.sleep(SECONDS)
        outputs = [tensor.encode("predict", rows[:, 0].copy())]
        resp.data, head = oip.encode_response(model, version, outputs, binary=None if length else frozenset())
        resp.content_type = oip.JSON_TYPE if head is None else oip.BINARY_TYPE
        if head is not None:
            resp.set_header(oip.HEADER_LENGTH, str(head))


def create(lanes: int) -> Any:
    """Build the application."""
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App()
    well = Well()
    for path in ("/v2", "/v2/health/ready", "/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        app.add_route(path, well)
    app.add_route("/v2/models/{model}/versions/{version}/ready", well)
    app.add_route("/v2/repository/models/{model}/{verb}", well)
    app.add_route("/v2/models/{model}/versions/{version}/infer", Infer(lanes))
    return app


if __name__ == "__main__":
    port, lanes = map(int, sys.argv[1:])
    AsgiServer("slow", lambda: create(lanes), host="127.0.0.1", port=port, processes=1).run()
