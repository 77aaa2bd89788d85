"""`/predictions`: asynchronous predictions."""

import asyncio
from functools import partial
from typing import Final

import falcon.asgi

from mlhub.api.events import events, mark
from mlhub.api.preferences import preferences
from mlhub.api.responses import check_parameters, limit_of, link_next, send
from mlhub.api.services.predictions import PredictionService
from mlhub.api.waiting import until
from mlhub.common import view
from mlhub.common.errors import UnacceptableError
from mlhub.common.prediction import PredictionStatus

_PARAMETERS: Final = ("model", "status", "limit", "cursor")
"""What a list of predictions takes."""


class PredictionsResource:
    """All that are kept, newest first."""

    def __init__(self, predictions: PredictionService) -> None:
        self._predictions = predictions

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """List predictions that meet the filters."""
        check_parameters(req, _PARAMETERS)
        status = req.get_param("status")
        if status is not None and status not in list(PredictionStatus):
            raise UnacceptableError(
                f"status takes one of {', '.join(PredictionStatus)}.", code="bad_parameter"
            )
        page = await asyncio.to_thread(
            self._predictions.page,
            req.get_param("model"),
            None if status is None else PredictionStatus(status),
            limit_of(req),
            req.get_param("cursor"),
        )
        link_next(req, resp, page.following)
        send(resp, [view.prediction(item) for item in page.items])


class PredictionResource:
    """One prediction."""

    def __init__(self, predictions: PredictionService, max_wait: float) -> None:
        self._predictions = predictions
        self._max_wait = max_wait

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, identity: str) -> None:
        """Show it, at once or when it has ended."""
        prefer = preferences(req, self._max_wait)
        look = partial(self._predictions.get, identity)
        prediction = await until(look, view.ended, prefer.wait or 0.0)
        if prefer.wait is not None:
            resp.set_header("Preference-Applied", f"wait={prefer.wait:g}")
        send(resp, view.prediction(prediction))


class EventsResource:
    """The changes of a prediction, as they happen."""

    def __init__(self, predictions: PredictionService) -> None:
        self._predictions = predictions

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, identity: str) -> None:
        """Send the prediction as it is now and after each change, until its end (server-sent events)."""
        look = partial(self._predictions.get, identity)
        first = await asyncio.to_thread(look)
        seen = req.get_header("Last-Event-ID")
        if view.ended(first) and seen == mark(first):
            # Nothing more will come: with this answer browsers do not come back either.
            resp.status = 204
            return
        resp.set_header("Cache-Control", "no-store")
        resp.sse = events(look, seen)


class CancelResource:
    """The end of a prediction by its client's wish."""

    def __init__(self, predictions: PredictionService) -> None:
        self._predictions = predictions

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, identity: str) -> None:
        """Cancel it."""
        del req
        prediction = await asyncio.to_thread(self._predictions.cancel, identity)
        send(resp, view.prediction(prediction))
