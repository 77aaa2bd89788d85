"""The job of an asynchronous prediction: claim, predict, record."""

import logging
import time

import msgspec

from mlhub.common.errors import MLHubError, TooLargeError
from mlhub.common.prediction import Prediction, PredictionStatus
from mlhub.common.tensor import Tensor
from mlhub.storage.predictions import PredictionStore
from mlhub.workers.adapters.base import BackendAdapter
from mlhub.workers.attempts import AttemptPolicy, attempt

_LOG = logging.getLogger(__name__)


class PredictionJob:
    """Works off asynchronous predictions of one backend."""

    def __init__(
        self, predictions: PredictionStore, adapter: BackendAdapter, policy: AttemptPolicy, max_bytes: int
    ) -> None:
        self._predictions = predictions
        self._adapter = adapter
        self._policy = policy
        self._max_bytes = max_bytes

    def run(self, identities: str | list[str]) -> None:
        """Work off the predictions that a message names."""
        for identity in [identities] if isinstance(identities, str) else identities:
            self._run(identity)

    def _run(self, identity: str) -> None:
        """Predict unless another worker does, or it has ended: a redelivered message does not run twice."""
        prediction = self._predictions.claim(identity, self._policy.lease)
        if prediction is None:
            _LOG.info("prediction %s is in other hands or has ended", identity)
            return
        if self._policy.exhausted(prediction.attempts):
            self._fail(identity, "Its workers died on it again and again, so it is not tried any more.")
            return
        started = time.perf_counter()
        try:
            outputs = attempt(lambda: self._predict(prediction))
        except MLHubError as error:
            if self._policy.again(prediction.attempts, error):
                _LOG.warning("prediction %s will be tried again: %s", identity, error)
                self._predictions.release(identity)
            else:
                self._fail(identity, error.detail)
            return
        self._predictions.end(
            identity,
            PredictionStatus.SUCCEEDED,
            result=msgspec.to_builtins(outputs, builtin_types=(bytes,)),
            predict_time=time.perf_counter() - started,
        )

    def _predict(self, prediction: Prediction) -> tuple[Tensor, ...]:
        outputs = self._adapter.predict(
            prediction.model, prediction.deployment, prediction.inputs, prediction.outputs
        )
        if sum(len(output.data) for output in outputs) > self._max_bytes:
            raise TooLargeError(f"The answer has more than {self._max_bytes} bytes; send fewer rows.")
        return outputs

    def _fail(self, identity: str, reason: str) -> None:
        _LOG.warning("prediction %s failed: %s", identity, reason)
        self._predictions.end(identity, PredictionStatus.FAILED, error=reason)
