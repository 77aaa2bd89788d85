"""`/model/{name}/predict`: predictions, now or later, through the same call."""

import asyncio
from typing import Final

import falcon.asgi
import msgspec

from mlhub.api import representation
from mlhub.api.bodies import decode, read, require_json
from mlhub.api.gateway.gateway import Gateway
from mlhub.api.gateway.group import Answer, Target
from mlhub.api.preferences import preferences
from mlhub.api.responses import send
from mlhub.api.services.predictions import Order, PredictionService
from mlhub.api.services.routes import Route, RouteCache
from mlhub.common import oip, rows, tensor, topology
from mlhub.common.errors import MalformedError, UnacceptableError
from mlhub.common.names import LATEST
from mlhub.common.settings import Settings


class PredictBody(msgspec.Struct):
    """The JSON body, as far as it must be known before the model is."""

    input: msgspec.Raw = msgspec.Raw()
    """One row, or a list of rows, for a model with one input."""
    inputs: msgspec.Raw = msgspec.Raw()
    """Named tensors, in the form of the Open Inference Protocol."""
    model: str | None = None
    version: str | None = None


_BODY: Final = msgspec.json.Decoder(PredictBody)


class PredictResource:
    """Predictions of the model that the address names, or else the body."""

    def __init__(
        self, routes: RouteCache, gateway: Gateway, predictions: PredictionService, settings: Settings
    ) -> None:
        self._routes = routes
        self._gateway = gateway
        self._predictions = predictions
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
        require_json(req)
        raw = await read(req, self._max_bytes)
        body = decode(raw, _BODY)
        model = name or body.model
        if model is None:
            raise UnacceptableError("The body names no model.", code="missing_field")
        wanted = version or req.get_param("version") or body.version or LATEST
        route = await self._routes.get(model, wanted)
        order = _order(route, body, raw)
        if prefer.respond_async:
            await self._accept(resp, order)
            return
        wait = self._default_wait if prefer.wait is None else prefer.wait
        target = Target(route.backend, route.model, route.deployment, order.outputs)
        answer = await self._gateway.predict(target, order.rows, wait)
        _render(resp, order, answer)

    # The seed's example sends its body with GET.
    on_get = on_post

    async def _accept(self, resp: falcon.asgi.Response, order: Order) -> None:
        prediction = await asyncio.to_thread(self._predictions.accept, order)
        await self._gateway.publish_job(topology.JOB_PREDICT, prediction.id, prediction.backend)
        resp.set_header("Location", f"/predictions/{prediction.id}")
        resp.set_header("Preference-Applied", "respond-async")
        send(resp, representation.prediction(prediction), 202)


def _order(route: Route, body: PredictBody, raw: bytes) -> Order:
    if bytes(body.input):
        return Order(route, rows.from_json(body.input, route.signature))
    if bytes(body.inputs):
        request = oip.decode_request(raw)
        known = {spec.name for spec in route.signature.outputs}
        unknown = [output for output in request.outputs if known and output not in known]
        if unknown:
            raise UnacceptableError(
                f"The model has no output {unknown[0]!r}; it gives {', '.join(sorted(known))}.",
                code="bad_output",
            )
        return Order(route, rows.from_tensors(request.inputs, route.signature), request.outputs, "oip")
    raise MalformedError(
        'The body has no input; send {"input": […]} with one row or a list of rows.', code="no_input"
    )


def _render(resp: falcon.asgi.Response, order: Order, answer: Answer) -> None:
    resp.set_header("Server-Timing", answer.shared.timing)
    if order.protocol == "oip":
        outputs = [tensor.encode(name, array) for name, array in answer.outputs.items()]
        resp.content_type = "application/json"
        resp.data, _ = oip.encode_response(order.route.model, order.route.version, outputs)
        return
    send(resp, representation.answer(order.route, answer, single=order.rows.single))
