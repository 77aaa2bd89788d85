"""The digits behind KServe's SDK: python kserve_digits.py MODEL.joblib PORT PROCESSES."""

import sys
from typing import Any

import joblib
import kserve
import numpy as np


class Digits(kserve.Model):
    """Answers KServe's first protocol, which costs it less than the second."""

    def __init__(self, path: str) -> None:
        super().__init__("digits")
        self._path = path
        self._estimator: Any = None

    def load(self) -> bool:
        """Read the model."""
        self._estimator = joblib.load(self._path)
        self.ready = True
        return self.ready

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """Predict rows."""
        del headers, response_headers
        rows = np.asarray(payload["instances"], dtype=np.float64)
        return {"predictions": self._estimator.predict(rows).tolist()}


if __name__ == "__main__":
    model, port, processes = sys.argv[1:]
    digits = Digits(model)
    digits.load()
    server = kserve.ModelServer(
        http_port=int(port), workers=int(processes), enable_grpc=False, access_log_format=None
    )
    server.start([digits])
