"""`/v2/infer`: several inference requests in one call; see `mlhub.common.oipshared`."""

import asyncio
import time
from http import HTTPStatus

import falcon.asgi
import msgspec

from mlhub.common import logs, oipshared
from mlhub.common.errors import MalformedError
from mlhub.common.logs import REQUEST_ID
from mlhub.common.oipshared import SharedAnswer, SharedCall, SharedRequest
from mlhub.servers import errors
from mlhub.servers.body import read
from mlhub.servers.metrics import InferenceMeter
from mlhub.servers.serving import Serving


class SharedResource:
    """Answers each request as if it had come alone: a bad or slow one fails alone."""

    def __init__(self, serving: Serving, meter: InferenceMeter, max_body_bytes: int) -> None:
        self._serving = serving
        self._meter = meter
        self._max_body_bytes = max_body_bytes

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Predict."""
        answers = await self.answer(_decode(await read(req, self._max_body_bytes)))
        resp.content_type = oipshared.TYPE
        resp.data = oipshared.ENCODER.encode(answers)

    async def answer(self, call: SharedCall) -> list[SharedAnswer]:
        """Return the answers in the order of the requests, when all are there or patience is at its end."""
        tasks = [asyncio.create_task(self._answer(request)) for request in call.requests]
        await asyncio.wait(tasks, timeout=call.patience)
        return [task.result() if task.done() else _late(task, call.patience) for task in tasks]

    async def _answer(self, request: SharedRequest) -> SharedAnswer:
        # Of this one's task alone.
        REQUEST_ID.set(logs.arrived(request.requests))
        started = time.perf_counter()
        status: int = HTTPStatus.OK
        length: int | None = None
        try:
            with self._meter.measured():
                body, length = await self._serving.infer(
                    request.model, request.version, request.body, request.header_length
                )
        except Exception as error:  # noqa: BLE001 (the edge: Falcon does the same for a request that comes alone)
            status, body = errors.answer(error, f"inference of {request.model}")
        return SharedAnswer(status, length, body, time.perf_counter() - started)


def _decode(body: bytes) -> SharedCall:
    try:
        return oipshared.CALL.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"The body is not what this call takes: {error}.", code="bad_request") from error


def _late(task: "asyncio.Task[SharedAnswer]", patience: float) -> SharedAnswer:
    task.cancel()
    body = errors.encode(f"The model did not answer within {patience:g} seconds.")
    return SharedAnswer(HTTPStatus.GATEWAY_TIMEOUT, None, body, patience)
