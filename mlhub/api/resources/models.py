"""`/models` and `/model/{name}`: the entries."""

import asyncio
from typing import Final

import falcon.asgi
import msgspec

from mlhub.api import representation
from mlhub.api.bodies import read_json
from mlhub.api.coalescing import SharedReads
from mlhub.api.gateway.gateway import Gateway
from mlhub.api.multipart import is_form
from mlhub.api.publication import Publication
from mlhub.api.resources.predict import PredictResource
from mlhub.api.responses import (
    Encoded,
    check_parameters,
    entity_tag,
    has_tag,
    limit_of,
    link_next,
    send,
    send_encoded,
    send_entity,
)
from mlhub.api.services.models import Accepts, Entry, ModelFields, ModelService
from mlhub.api.services.routes import RouteCache
from mlhub.api.services.uploads import Target
from mlhub.common import topology
from mlhub.common.errors import PreconditionFailedError, UnacceptableError
from mlhub.common.model import ModelState, ModelType, Version
from mlhub.storage.models import SORTS
from mlhub.storage.terms import ModelFilter

_FIELDS: Final = msgspec.json.Decoder(ModelFields)
_PARAMETERS: Final = (*ModelFilter.__struct_fields__, "sort", "limit", "cursor")
"""What a list of entries takes."""
_LONGEST_QUERY: Final = 500
"""Characters of `q`: each of its words is looked for."""


class ModelsResource:
    """The list of entries."""

    def __init__(self, models: ModelService) -> None:
        self._models = models
        self._reads: SharedReads[tuple[bytes, str | None]] = SharedReads()

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """List entries that meet the filters."""
        check_parameters(req, _PARAMETERS)
        sort = req.get_param("sort") or "name"
        if sort not in SORTS:
            raise UnacceptableError(f"sort takes one of {', '.join(SORTS)}.", code="bad_parameter")
        limit, cursor = limit_of(req), req.get_param("cursor")
        wanted = (_filter(req), sort, limit, cursor)
        data, following = await self._reads.get(wanted, lambda: self._page(*wanted))
        link_next(req, resp, following)
        resp.content_type = "application/json"
        resp.data = data

    def _page(
        self, wanted: ModelFilter, sort: str, limit: int, cursor: str | None
    ) -> tuple[bytes, str | None]:
        page = self._models.page(wanted, sort, limit, cursor)
        return msgspec.json.encode([representation.entry(item) for item in page.items]), page.following


class ModelResource:
    """One entry."""

    def __init__(
        self,
        models: ModelService,
        routes: RouteCache,
        gateway: Gateway,
        publication: Publication,
        predict: PredictResource,
        max_bytes: int,
    ) -> None:
        self._models = models
        self._routes = routes
        self._gateway = gateway
        self._publication = publication
        self._predict = predict
        self._max_bytes = max_bytes
        self._reads: SharedReads[Encoded] = SharedReads()

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """Show the entry with its versions."""
        send_encoded(req, resp, await self._reads.get(name, lambda: self._entry(name)))

    def _entry(self, name: str) -> Encoded:
        return Encoded.of(msgspec.json.encode(representation.entry(self._models.get(name))))

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """Create the entry; of a form, with the bundle in its part `file`.

        A form for an entry that is there already is a prediction from its part `image`.
        """
        if is_form(req):
            if await asyncio.to_thread(self._models.exists, name):
                await self._predict.on_post(req, resp, name)
                return
            target = Target(model=name, may_create=True, must_create=True)
            await self._publication.from_form(req, resp, target)
            return
        fields = await read_json(req, _FIELDS, self._max_bytes)
        entry = await asyncio.to_thread(self._models.create, name, fields)
        resp.set_header("Location", f"/model/{name}")
        send(resp, representation.entry(entry), 201)

    async def on_put(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """Change the fields that are given."""
        fields = await read_json(req, _FIELDS, self._max_bytes)
        accepts = IfMatch(req.get_header("If-Match"))
        entry = await asyncio.to_thread(self._models.change, name, fields, accepts)
        if fields.backend is not msgspec.UNSET:
            moved = await asyncio.to_thread(self._models.move, entry)
            for version in moved:
                await self._publication.announce(version)
            if moved:
                entry = await asyncio.to_thread(self._models.get, name)
        self._routes.drop(name)
        send_entity(req, resp, representation.entry(entry))

    async def on_delete(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """Remove the entry, its versions, and in time what its backend has of it."""
        del req
        versions = await asyncio.to_thread(self._models.delete, name)
        self._routes.drop(name)
        await announce_removals(self._gateway, versions)
        resp.status = 204


async def announce_removals(gateway: Gateway, versions: list[Version]) -> None:
    """Tell job pools that versions are to be cleared away."""
    for version in versions:
        if version.backend is not None:
            await gateway.publish_job(topology.JOB_REMOVE, version.deployment, version.backend)


class IfMatch(Accepts):
    """The condition of an `If-Match` header."""

    def __init__(self, header: str | None) -> None:
        self._header = header

    def __call__(self, entry: Entry) -> None:
        """Compare the entry's tag.

        Raises:
            PreconditionFailedError: the header names another one.
        """
        if self._header is None:
            return
        tag = entity_tag(msgspec.json.encode(representation.entry(entry)))
        if not has_tag(self._header, tag):
            raise PreconditionFailedError(
                f"The model {entry.model.model!r} has changed since it was read; read it again."
            )


def _filter(req: falcon.asgi.Request) -> ModelFilter:
    model_type, state = req.get_param("type"), req.get_param("state")
    if state is not None and state not in list(ModelState):
        raise UnacceptableError(f"state takes one of {', '.join(ModelState)}.", code="bad_parameter")
    words = req.get_param("q") or ""
    if len(words) > _LONGEST_QUERY:
        raise UnacceptableError(f"q takes at most {_LONGEST_QUERY} characters.", code="bad_parameter")
    return ModelFilter(
        q=words,
        type=None if model_type is None else ModelType.parse(model_type),
        discipline=req.get_param("discipline"),
        owner=req.get_param("owner"),
        tag=req.get_param("tag"),
        state=None if state is None else ModelState(state),
        reference=req.get_param("reference"),
    )
