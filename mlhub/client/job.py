"""A prediction that was handed over, to be asked for later."""

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from mlhub.client.errors import HubError
from mlhub.client.records import Prediction
from mlhub.common.tensor import Array

_HOLD: Final = 30
"""Seconds that the hub is asked to hold an answer back, each time."""

Ask = Callable[[str, int], Prediction]
"""Returns the prediction with an id, at its end or after a number of seconds."""


class Job:
    """An asynchronous prediction of one's own."""

    def __init__(self, identity: str, ask: Ask, cancel: Callable[[str], Prediction]) -> None:
        self.id = identity
        self._ask = ask
        self._cancel = cancel

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    def status(self) -> str:
        """Return how it stands: `starting`, `processing`, `succeeded`, `failed` or `canceled`."""
        return self._ask(self.id, 0).status

    def prediction(self, timeout: float | None = None) -> Prediction:
        """Wait for the end and return all that is known of it.

        Raises:
            TimeoutError: it has not ended within `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _HOLD if deadline is None else min(_HOLD, max(0, round(deadline - time.monotonic())))
            prediction = self._ask(self.id, left)
            if prediction.ended:
                return prediction
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"The prediction {self.id} has not ended within {timeout:g} seconds.")

    def result(self, timeout: float | None = None) -> Array | dict[str, Array]:
        """Wait for the end and return the output, by name where there are several.

        Raises:
            TimeoutError: it has not ended within `timeout` seconds.
            HubError: it failed or was cancelled.
        """
        prediction = self.prediction(timeout)
        if prediction.status != "succeeded":
            raise HubError(
                prediction.error or f"The prediction was {prediction.status}.", code=prediction.status
            )
        return to_arrays(prediction.output)

    def cancel(self) -> Prediction:
        """Cancel it.

        Raises:
            HubError: it has ended already.
        """
        return self._cancel(self.id)


def to_arrays(output: Any) -> Array | dict[str, Array]:
    """Make arrays of an output as the hub writes it in JSON."""
    if isinstance(output, dict):
        return {name: np.array(value) for name, value in output.items()}
    return np.array(output)
