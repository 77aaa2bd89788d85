"""Asynchronous predictions: kept first, then announced to the job pool."""

import hashlib
import os
import time
from collections.abc import Sequence

import msgspec

from mlhub.api.lanegate import LaneGate
from mlhub.api.services.routes import Route
from mlhub.common import tensor
from mlhub.common.errors import ConflictError, MLHubError, TooLargeError, UnacceptableError
from mlhub.common.logs import REQUEST_ID
from mlhub.common.prediction import Prediction, PredictionStatus, group_of
from mlhub.common.rows import Rows
from mlhub.common.tensor import Tensor
from mlhub.common.tracing import TRACEPARENT
from mlhub.common.webhook import Webhook
from mlhub.storage.database import now
from mlhub.storage.largetensors import LargeTensors
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
    version: str = ""
    """The version as the client named it, which for the latest one stays the same when that changes."""


class PredictionService:
    """What the calls on `/predictions` mean."""

    def __init__(
        self, predictions: PredictionStore, lanes: LaneGate, tensors: LargeTensors, max_bytes: int
    ) -> None:
        self._predictions = predictions
        self._lanes = lanes
        self._tensors = tensors
        self._max_bytes = max_bytes

    def prepare(
        self, order: Order, key: str | None = None, webhook: Webhook | None = None, owner: str = ""
    ) -> Prediction:
        """Make the prediction that is to be kept for an order; nothing is kept yet.

        Args:
            order: what is to be predicted.
            key: digest of the client's idempotency key.
            webhook: whom to call at its end.
            owner: from where it came; work from several sides is served in turn.

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
        return Prediction(
            id=identity(),
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
            key=key,
            order_digest=None if key is None else _digest(order, inputs, webhook),
            webhook=webhook,
            owner=owner,
            request=REQUEST_ID.get(),
            trace=TRACEPARENT.get(),
        )

    def keep(self, predictions: Sequence[Prediction]) -> list[Prediction | MLHubError]:
        """Keep predictions to be done later; when this returns, they are not lost any more.

        Those that have to wait for their lane's turn are kept without a time of publication.

        Returns:
            For each what is kept: itself, or with the key of an earlier one that one; or else an error,
            `UnacceptableError` when its key was used for something else.

        Raises:
            UnavailableError: the database does not answer.
        """
        admitted = {lane: self._lanes.admits(lane) for lane in {item.lane for item in predictions}}
        asked = [
            item if admitted[item.lane] else msgspec.structs.replace(item, published_at=None)
            for item in predictions
        ]
        kept = self._add_all(asked)
        groups = {group_of(item.id): item for item in reversed(kept) if isinstance(item, Prediction)}
        for item in predictions:
            if (first := groups.get(item.id)) is None:
                continue
            if first.published_at is None:
                self._lanes.held_back(first.lane, first.backend, item.id)
            else:
                self._lanes.announced(first.lane, item.id)
        return [same_order(one, own) for one, own in zip(kept, predictions, strict=True)]

    def _add_all(self, predictions: Sequence[Prediction]) -> list[Prediction | MLHubError]:
        """Keep predictions, with large inputs in files; one that cannot be kept fails alone."""
        sent = [self._slim(item) for item in predictions]
        good = [one for one in sent if isinstance(one, Prediction)]
        added = iter(self._predictions.add_all(good) if good else ())
        kept = [next(added) if isinstance(one, Prediction) else one for one in sent]
        for one, own in zip(kept, sent, strict=True):
            if isinstance(own, Prediction) and own.inputs_file is not None and not _has_file(one, own):
                self._tensors.drop(own.inputs_file)
        return kept

    def _slim(self, prediction: Prediction) -> Prediction | MLHubError:
        try:
            return self._tensors.without_inputs(prediction)
        except MLHubError as error:
            return error

    def get(self, identity: str) -> Prediction:
        """Return a prediction.

        Raises:
            NotFoundError: there is none.
        """
        return self._tensors.with_result(self._predictions.get(identity))

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


def _has_file(kept: Prediction | MLHubError, own: Prediction) -> bool:
    return isinstance(kept, Prediction) and kept.inputs_file == own.inputs_file


def same_order(kept: Prediction | MLHubError, asked: Prediction) -> Prediction | MLHubError:
    """Return what is kept, unless it is an earlier prediction of something else."""
    if isinstance(kept, MLHubError) or kept.order_digest == asked.order_digest:
        return kept
    return UnacceptableError(
        "This Idempotency-Key was used for another prediction; give each one a key of its own.",
        code="idempotency_key_reused",
    )


def _digest(order: Order, inputs: Sequence[Tensor], webhook: Webhook | None) -> str:
    """Return a digest of what was asked for, the same in whatever form it came."""
    url = None if webhook is None else webhook.url
    asked = (order.route.model, order.version, order.outputs, order.protocol, order.rows.single, inputs, url)
    return hashlib.blake2b(msgspec.msgpack.encode(asked), digest_size=24).hexdigest()


def identity() -> str:
    """Return a new id: milliseconds, then chance, so that ids sort by time of creation."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(8).hex()}"
