"""`/v2`: the hub as one server of the Open Inference Protocol, for any of its clients.

Sources: https://github.com/kserve/open-inference-protocol (REST), and Triton's extensions "Binary Tensor
Data" and "Model Repository", of which the hub has the index.
"""

import asyncio
from typing import Final

import falcon.asgi
import msgspec

import mlhub
from mlhub.api.bodies import decode
from mlhub.api.inputs.coding import read_unpacked
from mlhub.api.inputs.document import tensors
from mlhub.api.preferences import preferences
from mlhub.api.resources.predict import PredictResource
from mlhub.api.responses import send
from mlhub.api.services.models import Entry, ModelService
from mlhub.api.services.routes import RouteCache
from mlhub.common import oip
from mlhub.common.errors import MalformedError
from mlhub.common.model import VersionState
from mlhub.common.names import LATEST
from mlhub.common.oipserver import IndexEntry, IndexRequest, ModelMetadata, ServerMetadata
from mlhub.common.settings import Settings
from mlhub.storage.terms import ModelFilter

_MOST_LISTED: Final = 1000
_LONGEST_LENGTH: Final = 12


_INDEX: Final = msgspec.json.Decoder(IndexRequest)
_STATES: Final = {VersionState.READY: "READY", VersionState.VALIDATING: "LOADING"}


class ServerResource:
    """`/v2`: what this server is."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Tell name, version and extensions."""
        del req
        send(resp, ServerMetadata("mlhub", mlhub.__version__, (oip.BINARY_EXTENSION, oip.INDEX_EXTENSION)))


class MetadataResource:
    """`/v2/models/{model}[/versions/{version}]`: what a model takes and gives."""

    def __init__(self, models: ModelService, routes: RouteCache) -> None:
        self._models = models
        self._routes = routes

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, model: str, version: str = LATEST
    ) -> None:
        """Answer the metadata of a version that is ready."""
        del req
        route = await self._routes.get(model, version)
        entry = await asyncio.to_thread(self._models.get, model)
        ready = [item.version for item in entry.versions if item.state is VersionState.READY]
        signature = route.signature
        send(resp, ModelMetadata(model, ready, entry.model.type.lower(), signature.inputs, signature.outputs))


class ModelReadyResource:
    """`/v2/models/{model}[/versions/{version}]/ready`: whether it can predict."""

    def __init__(self, routes: RouteCache) -> None:
        self._routes = routes

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, model: str, version: str = LATEST
    ) -> None:
        """Answer 200 when it can; 404 or 409 with the reason when not."""
        del req
        await self._routes.get(model, version)
        send(resp, {"name": model, "ready": True})


class InferResource:
    """`/v2/models/{model}[/versions/{version}]/infer`."""

    def __init__(self, routes: RouteCache, predict: PredictResource, settings: Settings) -> None:
        self._routes = routes
        self._predict = predict
        self._max_bytes = settings.max_json_bytes
        self._max_wait = settings.max_wait

    async def on_post(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, model: str, version: str = LATEST
    ) -> None:
        """Predict."""
        prefer = preferences(req, self._max_wait)
        header_length = _header_length(req)
        body = await read_unpacked(req, self._max_bytes)
        request = oip.decode_request(body, header_length)
        route = await self._routes.get(model, version)
        order = msgspec.structs.replace(tensors(route, request), version=version)
        await self._predict.carry_out(req, resp, order, prefer)


class IndexResource:
    """`/v2/repository/index`."""

    def __init__(self, models: ModelService, max_bytes: int) -> None:
        self._models = models
        self._max_bytes = max_bytes

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """List all versions of all models."""
        body = await read_unpacked(req, self._max_bytes)
        wanted = decode(body, _INDEX) if body.strip() else IndexRequest()
        listed = await asyncio.to_thread(self._list)
        send(resp, [item for item in listed if item.state == "READY" or not wanted.ready])

    def _list(self) -> list[IndexEntry]:
        listed: list[IndexEntry] = []
        cursor: str | None = None
        while True:
            page = self._models.page(ModelFilter(), "name", _MOST_LISTED, cursor)
            for entry in page.items:
                listed += _indexed(entry)
            cursor = page.following
            if cursor is None:
                return listed


def _indexed(entry: Entry) -> list[IndexEntry]:
    return [
        IndexEntry(entry.model.model, item.version, _STATES.get(item.state, "UNAVAILABLE"), item.error or "")
        for item in entry.versions
    ]


def _header_length(req: falcon.asgi.Request) -> int | None:
    text = req.get_header(oip.HEADER_LENGTH)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_LENGTH):
        raise MalformedError(f"{oip.HEADER_LENGTH} is not a number of bytes.", code="bad_request")
    return int(text)
