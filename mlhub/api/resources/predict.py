"""`/model/{name}/predict`: predictions, now or later, through the same call."""

from functools import partial

import falcon.asgi
import msgspec

from mlhub.api import representation
from mlhub.api.acceptance import Acceptance
from mlhub.api.gateway.answer import Answer
from mlhub.api.gateway.gateway import Gateway
from mlhub.api.gateway.group import Target
from mlhub.api.idempotency import key_of
from mlhub.api.inputs.base import Input, check_outputs
from mlhub.api.inputs.reading import read_input
from mlhub.api.preferences import Preferences, preferences
from mlhub.api.resources.bulk import BulkAcceptance
from mlhub.api.responses import send
from mlhub.api.services.bulks import BulkOrder
from mlhub.api.services.predictions import Order, PredictionService
from mlhub.api.services.routes import RouteCache
from mlhub.api.waiting import until
from mlhub.api.webhook import Webhooks
from mlhub.common import npy, oip, tensor, view
from mlhub.common.bulk import BulkForm
from mlhub.common.errors import NotFoundError, UnacceptableError, UnavailableError
from mlhub.common.names import LATEST
from mlhub.common.prediction import Prediction
from mlhub.common.settings import Settings


class PredictResource:
    """Predictions of the model that the address names, or else the body."""

    def __init__(
        self,
        routes: RouteCache,
        gateway: Gateway,
        predictions: PredictionService,
        bulks: BulkAcceptance,
        settings: Settings,
    ) -> None:
        self._routes = routes
        self._bulks = bulks
        self._gateway = gateway
        self._predictions = predictions
        self._acceptance = Acceptance(predictions.keep, gateway.publish_predictions)
        self._webhooks = Webhooks(settings)
        self._max_bytes = settings.max_json_bytes
        self._default_wait = settings.default_wait
        self._max_wait = settings.max_wait

    async def on_post(
        self,
        req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        name: str | None = None,
        version: str | None = None,
    ) -> None:
        """Predict: wait for the answer, or accept the work to be done later."""
        prefer = preferences(req, self._max_wait)
        form = self._bulks.form(req, prefer)
        if form is not None:
            kept = await self._bulks.accept(req, await self._bulk_order(req, form, name, version))
            await self._answer_later(resp, kept, prefer.wait)
            return
        given = await read_input(req, self._max_bytes)
        order = await self._order(req, given, name, version)
        await self.carry_out(req, resp, order, prefer)

    # The seed's example sends its body with GET.
    on_get = on_post

    async def carry_out(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, order: Order, prefer: Preferences
    ) -> None:
        """Predict what was ordered, now or later, and answer in the form that is wanted."""
        webhook = self._webhooks.asked(req, later=prefer.respond_async)
        if prefer.respond_async:
            prediction = self._predictions.prepare(order, key_of(req), webhook, req.remote_addr)
            await self._answer_later(resp, await self._acceptance.accept(prediction), prefer.wait)
            return
        wait = self._default_wait if prefer.wait is None else prefer.wait
        target = Target(order.route.backend, order.route.model, order.route.deployment, order.outputs)
        answer = await self._gateway.predict(target, order.rows, wait)
        resp.set_header("Server-Timing", answer.shared.timing)
        if npy.TYPE in (req.get_header("Accept") or ""):
            _render_array(resp, order, answer)
        elif order.protocol == "oip":
            _render_tensors(resp, order, answer)
        else:
            send(resp, representation.answer(order.route, answer, single=order.rows.single))

    async def _order(
        self, req: falcon.asgi.Request, given: Input, name: str | None, version: str | None
    ) -> Order:
        model = name or given.model
        if model is None:
            raise UnacceptableError(
                "The body names no model: say it in the field 'model'.", code="missing_field"
            )
        wanted = version or req.get_param("version") or given.version or LATEST
        route = await self._routes.get(model, wanted)
        order = await given.order(route, _outputs(req))
        return msgspec.structs.replace(order, version=wanted)

    async def _bulk_order(
        self, req: falcon.asgi.Request, form: BulkForm, name: str | None, version: str | None
    ) -> BulkOrder:
        model = name or req.get_param("model")
        if model is None:
            raise UnacceptableError(
                "The address names no model: say it as in '/predict?model=…'.", code="missing_field"
            )
        wanted = version or req.get_param("version") or LATEST
        route = await self._routes.get(model, wanted)
        return BulkOrder(
            route=route,
            form=form,
            outputs=check_outputs(_outputs(req), route.signature),
            version=wanted,
            key=key_of(req),
            webhook=self._webhooks.asked(req, later=True),
        )

    async def _answer_later(self, resp: falcon.asgi.Response, kept: Prediction, wait: float | None) -> None:
        applied = "respond-async"
        if wait is not None:
            # Both preferences together (RFC 7240, 4.3): later only if it takes longer than that.
            kept = await self._awaited(kept, wait)
            applied += f", wait={wait:g}"
        resp.set_header("Location", f"/predictions/{kept.id}")
        resp.set_header("Preference-Applied", applied)
        send(resp, view.prediction(kept), 200 if wait is not None and view.ended(kept) else 202)

    async def _awaited(self, kept: Prediction, wait: float) -> Prediction:
        try:
            return await until(partial(self._predictions.get, kept.id), view.ended, wait)
        except (UnavailableError, NotFoundError):
            # It is accepted, whatever comes after.
            return kept


def _outputs(req: falcon.asgi.Request) -> tuple[str, ...]:
    """Return the names of the outputs that the address asks for."""
    names = (req.get_param("outputs") or "").split(",")
    return tuple(name.strip() for name in names if name.strip())


def _render_tensors(resp: falcon.asgi.Response, order: Order, answer: Answer) -> None:
    outputs = [tensor.encode(name, array) for name, array in answer.outputs.items()]
    route = order.route
    resp.data, length = oip.encode_response(
        route.model, route.version, outputs, request_id=order.request_id, binary=order.binary
    )
    resp.content_type = oip.JSON_TYPE if length is None else oip.BINARY_TYPE
    if length is not None:
        resp.set_header(oip.HEADER_LENGTH, str(length))


def _render_array(resp: falcon.asgi.Response, order: Order, answer: Answer) -> None:
    if len(answer.outputs) != 1:
        raise UnacceptableError(
            f"The model gives {', '.join(answer.outputs)}, and an npy file holds one: name it with "
            "'?outputs=…'.",
            code="several_outputs",
        )
    (array,) = answer.outputs.values()
    resp.content_type = npy.TYPE
    resp.data = npy.encode(array[0] if order.rows.single else array)
