"""The digits behind LitServe: python litserve_digits.py MODEL.joblib PORT BATCH."""

import sys
from typing import Any

import joblib
import litserve
import numpy as np
from fastapi import Request


class Digits(litserve.LitAPI):
    """Predicts one row."""

    def __init__(self, path: str, **options: Any) -> None:
        super().__init__(**options)
        self._path = path
        self._estimator: Any = None

    def setup(self, device: str) -> None:
        """Read the model."""
        del device
        self._estimator = joblib.load(self._path)

    def decode_request(self, request: Request) -> Any:
        """Return the row; LitServe passes the body, decoded."""
        return np.asarray(request["input"], dtype=np.float64)

    def predict(self, x: Any) -> Any:
        """Predict."""
        return self._estimator.predict(x[None])[0]

    def encode_response(self, output: Any) -> Any:
        """Return a number."""
        return {"output": int(output)}


class BatchedDigits(Digits):
    """Predicts the rows of several requests."""

    def batch(self, inputs: Any) -> Any:
        """Stack rows."""
        return np.stack(inputs)

    def predict(self, x: Any) -> Any:
        """Predict."""
        return self._estimator.predict(x)

    def unbatch(self, output: Any) -> Any:
        """Split answers."""
        return list(output)


if __name__ == "__main__":
    model, port, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    options: dict[str, Any] = {"max_batch_size": size, "batch_timeout": 0.002} if size > 1 else {}
    api = BatchedDigits(model, **options) if size > 1 else Digits(model)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning", access_log=False)
