"""Asynchronous predictions: kept first, then announced to the job pool."""

import os
import time

import msgspec

from mlhub.api.services.routes import Route
from mlhub.common import tensor
from mlhub.common.errors import ConflictError, TooLargeError
from mlhub.common.prediction import Prediction, PredictionStatus
from mlhub.common.rows import Rows
from mlhub.storage.database import now
from mlhub.storage.paging import Page
from mlhub.storage.predictions import PredictionStore


class Order(msgspec.Struct, frozen=True):
    """What a client asked to be predicted, wherever it is done."""

    route: Route
    rows: Rows
    outputs: tuple[str, ...] = ()
    """Names of the outputs asked for; empty means the model's default."""
    protocol: str = "mlhub"
    """Form of the request, and so of the answer: `mlhub` or `oip`."""
    request_id: str | None = None
    """What a request of the Open Inference Protocol calls itself; the answer repeats it."""
    binary: frozenset[str] | None = frozenset()
    """Outputs that such a request wants as binary data; `None` means all."""


class PredictionService:
    """What the calls on `/predictions` mean."""

    def __init__(self, predictions: PredictionStore, max_bytes: int) -> None:
        self._predictions = predictions
        self._max_bytes = max_bytes

    def accept(self, order: Order) -> Prediction:
        """Keep a prediction to be done later; when this returns, it is not lost any more.

        Raises:
            TooLargeError: its input is larger than is kept.
        """
        inputs = tuple(tensor.encode(name, array) for name, array in order.rows.inputs.items())
        if sum(len(item.data) for item in inputs) > self._max_bytes:
            raise TooLargeError(
                f"An asynchronous prediction takes up to {self._max_bytes} bytes of input; send fewer rows."
            )
        created = now()
        route = order.route
        prediction = Prediction(
            id=_identity(),
            model=route.model,
            version=route.version,
            backend=route.backend,
            deployment=route.deployment,
            inputs=inputs,
            outputs=order.outputs,
            single=order.rows.single,
            protocol=order.protocol,
            labels=route.labels,
            created_at=created,
            published_at=created,
        )
        self._predictions.add(prediction)
        return prediction

    def get(self, identity: str) -> Prediction:
        """Return a prediction.

        Raises:
            NotFoundError: there is none.
        """
        return self._predictions.get(identity)

    def cancel(self, identity: str) -> Prediction:
        """Cancel a prediction that has not ended.

        Raises:
            NotFoundError: there is none.
            ConflictError: it has ended.
        """
        canceled = self._predictions.end(identity, PredictionStatus.CANCELED)
        prediction = self._predictions.get(identity)
        if not canceled:
            raise ConflictError(
                f"The prediction has ended already: {prediction.status}.", code="prediction_ended"
            )
        return prediction

    def page(
        self, model: str | None, status: PredictionStatus | None, limit: int, cursor: str | None
    ) -> Page[Prediction]:
        """Return a page of predictions, newest first."""
        return self._predictions.page(model, status, limit, cursor)


def _identity() -> str:
    """Return a new id: milliseconds, then chance, so that ids sort by time of creation."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(8).hex()}"
