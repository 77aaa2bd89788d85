"""The digits behind BentoML, with batching: bentoml serve bentoml_digits:Digits; the model is $MODEL."""

import os
from typing import Any

import bentoml
import joblib
import numpy as np


@bentoml.service(workers=1, traffic={"timeout": 60, "max_concurrency": 4096})
class Digits:
    """Collects rows of several requests."""

    def __init__(self) -> None:
        self._estimator: Any = joblib.load(os.environ["MODEL"])

    @bentoml.api(batchable=True, max_batch_size=128, max_latency_ms=1000)
    def predict(self, input: np.ndarray) -> np.ndarray:  # noqa: A002 (the name on the wire)
        """Predict rows."""
        return self._estimator.predict(input)
