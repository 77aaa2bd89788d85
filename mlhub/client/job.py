"""A prediction that is made while its client does something else."""

import math
import time
from typing import TYPE_CHECKING, Final

from mlhub.client.arrays import array_of, named_outputs
from mlhub.client.errors import HubError
from mlhub.client.records import Prediction
from mlhub.common.tensor import Array

if TYPE_CHECKING:
    from mlhub.client.client import Client

_WAIT: Final = 30.0
"""Seconds the hub is asked to hold back its answer; then it is asked again."""


class Job:
    """A submitted prediction; it goes on at the hub whether or not this object is kept."""

    def __init__(self, client: "Client", identity: str) -> None:
        self._client = client
        self.id = identity
        """Under which any client finds it again: `Client.job(id)`."""

    def record(self, wait: float | None = None) -> Prediction:
        """Return all that the hub tells of it; with `wait`, when it has ended or that many seconds passed."""
        return self._client.prediction(self.id, wait=wait)

    def status(self) -> str:
        """Return `starting`, `processing`, `succeeded`, `failed` or `canceled`."""
        return self.record().status

    def look(self, wait: float) -> Prediction:
        """Return its record once it has ended, or as it is after `wait` seconds."""
        deadline = time.monotonic() + wait
        while True:
            left = max(deadline - time.monotonic(), 0.0)
            record = self.record(min(_WAIT, left))
            if record.ended or deadline - time.monotonic() <= 0:
                return record

    def wait(self, timeout: float | None = None) -> Prediction:
        """Return its record once it has ended.

        Raises:
            HubError: it has not ended within `timeout` seconds (`deadline_exceeded`); it goes on.
        """
        record = self.look(math.inf if timeout is None else timeout)
        if record.ended:
            return record
        raise HubError(
            f"The prediction {self.id} has not ended within {timeout:g} seconds; it is {record.status}.",
            code="deadline_exceeded",
        )

    def result(self, timeout: float | None = None) -> Array:
        """Return its output as an array, once it is there.

        Raises:
            HubError: it failed (the hub's reason), was canceled (`prediction_canceled`), or has not ended
                within `timeout` seconds (`deadline_exceeded`).
        """
        return array_of(succeeded(self.wait(timeout)).output)

    def outputs(self, timeout: float | None = None) -> dict[str, Array]:
        """Return its outputs by name, once they are there, where it was submitted with inputs by name.

        Raises:
            HubError: as `result` does.
        """
        return named_outputs(succeeded(self.wait(timeout)).output)

    def cancel(self) -> Prediction:
        """Cancel it.

        Raises:
            HubError: it has ended already (status 409).
        """
        return self._client.cancel(self.id)

    def __repr__(self) -> str:
        return f"Job({self.id!r})"


def succeeded(record: Prediction) -> Prediction:
    """Return an ended prediction that has an output.

    Raises:
        HubError: it has none; the sentence says why.
    """
    if record.status == "failed":
        raise HubError(
            f"The prediction {record.id} failed: {record.error or 'no reason given.'}",
            code="prediction_failed",
        )
    if record.status != "succeeded":
        raise HubError(f"The prediction {record.id} is {record.status}.", code=f"prediction_{record.status}")
    return record
