"""A prediction that is made while its client does something else."""

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlhub.client.arrays import array_of, named_outputs
from mlhub.client.bundle import Progress
from mlhub.client.errors import HubError
from mlhub.client.records import Prediction
from mlhub.common.tensor import Array

if TYPE_CHECKING:
    from mlhub.client.predictions import Predictions

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 0.5
"""Seconds between two looks at a prediction that is followed."""
_WAIT: Final = 30.0
"""Seconds the hub is asked to hold back its answer; then it is asked again."""


class Job:
    """A submitted prediction; it goes on at the hub whether or not this object is kept."""

    def __init__(self, client: "Predictions", identity: str) -> None:
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

    def follow(self, progress: Progress | None = None, timeout: float | None = None) -> Prediction:
        """Return its record once it has ended; tell meanwhile how many rows are done, of a file's prediction.

        Args:
            progress: called with the rows that are done and all there are.
            timeout: seconds after which to return it as it is.
        """
        deadline = time.monotonic() + (math.inf if timeout is None else timeout)
        pause = _FIRST_PAUSE
        while True:
            record = self.record()
            if progress is not None and record.progress is not None:
                progress(record.progress.done, record.progress.total)
            if record.ended or time.monotonic() >= deadline:
                return record
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def save(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> Path:
        """Write the output of a file's prediction to a file, in the form that its ending tells; return it.

        The file appears only when all of it is there. When the connection breaks, only the rest is asked for
        again where the form allows it.

        Args:
            path: ends in `.npy`, `.csv`, `.ndjson` or `.jsonl`.
            progress: called with the bytes received and all there are (`None` where that is unknown).

        Raises:
            HubError: it has no output, or not yet (status 409); or it did not arrive as a whole.
            OSError: the file cannot be written.
        """
        return self._client.save_output(self.id, Path(path), progress)

    def lines(self) -> Iterator[str]:
        """Yield the output of a file's prediction as JSON, row by row.

        Raises:
            HubError: it has no output, or not yet (status 409), or the connection broke.
        """
        return self._client.output_lines(self.id)

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
