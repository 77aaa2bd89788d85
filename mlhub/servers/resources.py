"""The Open Inference Protocol v2 over REST: its addresses, each one call to `Serving`."""

from http import HTTPStatus
from typing import Final, TypeVar

import falcon
import falcon.asgi
import msgspec

import mlhub
from mlhub.common import oip, oipshared
from mlhub.common.errors import MalformedError
from mlhub.common.oipserver import IndexRequest, ModelMetadata, ServerMetadata
from mlhub.servers.body import read
from mlhub.servers.metrics import InferenceMeter
from mlhub.servers.serving import Serving

T = TypeVar("T")

_MAX_CONTROL_BYTES: Final = 65536
"""Bytes a body may have that is no inference request."""


class ControlParameters(msgspec.Struct):
    """What a repository call may say of the model."""

    version: str | None = None


class ControlRequest(msgspec.Struct):
    """The body of a call that loads or unloads."""

    parameters: ControlParameters = msgspec.field(default_factory=ControlParameters)


_CONTROL: Final = msgspec.json.Decoder(ControlRequest)
_INDEX: Final = msgspec.json.Decoder(IndexRequest)


class ServerResource:
    """`/v2`: what this server is."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Tell name, version and extensions."""
        del req
        extensions = (oip.BINARY_EXTENSION, oip.INDEX_EXTENSION, oip.LAZY_EXTENSION, oipshared.EXTENSION)
        resp.data = msgspec.json.encode(ServerMetadata("mlhub", mlhub.__version__, extensions))


class LiveResource:
    """`/v2/health/live`: the process answers."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer 200."""
        del req
        resp.data = b'{"live":true}'


class ReadyResource:
    """`/v2/health/ready`: models can be found and loaded."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer 200, or 503 while the repository cannot be read."""
        del req
        if await self._serving.is_ready():
            resp.data = b'{"ready":true}'
        else:
            resp.status = HTTPStatus.SERVICE_UNAVAILABLE
            resp.data = b'{"ready":false,"error":"The folder of the model repository cannot be read."}'


class ModelResource:
    """`/v2/models/{model}[/versions/{version}]`: what a model takes and gives."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, model: str, version: str | None = None
    ) -> None:
        """Answer the metadata; the model is loaded for it."""
        del req
        deployed = await self._serving.deployed(model, version)
        signature = deployed.loaded.signature
        versions = await self._serving.versions(model)
        resp.data = msgspec.json.encode(
            ModelMetadata(model, versions, self._serving.platform, signature.inputs, signature.outputs)
        )


class ModelReadyResource:
    """`/v2/models/{model}[/versions/{version}]/ready`: whether it can predict."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, model: str, version: str | None = None
    ) -> None:
        """Answer 200 once it is loaded, 400 with the reason when it cannot be."""
        del req
        deployed = await self._serving.deployed(model, version)
        resp.data = msgspec.json.encode({"name": deployed.model, "ready": True})


class InferResource:
    """`/v2/models/{model}[/versions/{version}]/infer`."""

    def __init__(self, serving: Serving, meter: InferenceMeter, max_body_bytes: int) -> None:
        self._serving = serving
        self._meter = meter
        self._max_body_bytes = max_body_bytes

    async def on_post(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, model: str, version: str | None = None
    ) -> None:
        """Predict."""
        header_length = _header_length(req)
        body = await read(req, self._max_body_bytes)
        with self._meter.measured():
            answer, length = await self._serving.infer(model, version, body, header_length)
        if length is not None:
            resp.content_type = oip.BINARY_TYPE
            resp.set_header(oip.HEADER_LENGTH, str(length))
        resp.data = answer


class IndexResource:
    """`/v2/repository/index`."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """List what there is."""
        wanted = _decode(_INDEX, await read(req, _MAX_CONTROL_BYTES))
        listed = await self._serving.index()
        resp.data = msgspec.json.encode(
            [item for item in listed if item.state == "READY" or not wanted.ready]
        )


class LoadResource:
    """`/v2/repository/models/{model}/load`."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, model: str) -> None:
        """Load a version, the newest unless the body names one; again when its files have changed."""
        wanted = _decode(_CONTROL, await read(req, _MAX_CONTROL_BYTES))
        await self._serving.deployed(model, wanted.parameters.version, fresh=True)
        resp.data = b"{}"


class UnloadResource:
    """`/v2/repository/models/{model}/unload`."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, model: str) -> None:
        """Drop a version from memory, all unless the body names one; what is not there is no error."""
        wanted = _decode(_CONTROL, await read(req, _MAX_CONTROL_BYTES))
        await self._serving.unload(model, wanted.parameters.version)
        resp.data = b"{}"


def _header_length(req: falcon.asgi.Request) -> int | None:
    text = req.get_header(oip.HEADER_LENGTH)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise MalformedError(f"{oip.HEADER_LENGTH} is not a number of bytes.", code="bad_request")
    return int(text)


def _decode(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    try:
        return decoder.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"The body is not what this call takes: {error}.", code="bad_request") from error
