"""Predictions of a hub as methods: at once, later, and of whole files."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests

from mlhub.client import arrays, bulk, bundle
from mlhub.client.address import prediction_path, version_path
from mlhub.client.bundle import Progress
from mlhub.client.calls import JSON, Calls
from mlhub.client.errors import HubError
from mlhub.client.job import Job, succeeded
from mlhub.client.records import Answer, Prediction, read
from mlhub.client.transport import Repeat
from mlhub.common.names import LATEST
from mlhub.common.tensor import Array


class Predictions(Calls):
    """What a hub predicts; the client is one."""

    def predict(self, name: str, rows: Any, version: str | None = None, wait: float | None = None) -> Array:
        """Return what a model predicts: one output for one row, an array of them for several.

        Args:
            name: of the model.
            rows: one row or several, as an array, as lists or as a data frame; for a model with several
                inputs, objects with their names.
            version: the latest one unless given.
            wait: seconds the hub may take; its own default unless given.
        """
        return arrays.array_of(self.ask(name, rows, version, wait).output)

    def ask(
        self,
        name: str,
        rows: Any,
        version: str | None = None,
        wait: float | None = None,
        *,
        outputs: Iterable[str] = (),
    ) -> Answer:
        """Predict as `predict` does; return the answer as JSON has it, with version and labels.

        `outputs` names those to give, the model's default unless given.
        """
        wanted = tuple(outputs)
        return read(
            _sent(rows, lambda given: self._predict(name, arrays.encode_rows(given, wanted), version, wait)),
            Answer,
        )

    def infer(
        self,
        name: str,
        inputs: Mapping[str, Any],
        version: str | None = None,
        wait: float | None = None,
        *,
        outputs: Iterable[str] = (),
    ) -> dict[str, Array]:
        """Predict with a model of several inputs or outputs, in the datatypes that it declares.

        Args:
            name: of the model.
            inputs: arrays by input name, each with the rows first.
            version: the latest one unless given.
            wait: seconds the hub may take; its own default unless given.
            outputs: names of the outputs to give; the model's default unless given.

        Returns:
            Arrays by output name, each with the rows first.
        """
        response = self._predict(name, arrays.encode_inputs(inputs, outputs), version, wait)
        return arrays.decode_outputs(response.content)

    def submit(self, name: str, rows: Any, version: str | None = None, *, webhook: str | None = None) -> Job:
        """Have a prediction made later and return at once.

        Args:
            name: of the model.
            rows: as in `predict`; or inputs by name, as in `infer`, whose results `Job.outputs` gives.
            version: the latest one unless given.
            webhook: address that the hub calls when it has ended, with the prediction as JSON.
        """
        # Where the hub knows the key, a repetition gets the first answer.
        headers = {**JSON, "Prefer": "respond-async", "Idempotency-Key": str(uuid4())}
        address = version_path(name, version or LATEST, "predict")
        parameters = {} if webhook is None else {"webhook": webhook}

        def send(given: Any) -> requests.Response:
            body = encode(given)
            return self._http.call("POST", address, params=parameters, data=body, headers=headers)

        encode = arrays.encode_inputs if arrays.are_inputs(rows) else arrays.encode_rows
        return Job(self, read(_sent(rows, send), Prediction).id)

    def submit_file(
        self,
        name: str,
        path: str | os.PathLike[str],
        version: str | None = None,
        *,
        output: str | None = None,
        webhook: str | None = None,
        progress: Progress | None = None,
    ) -> Job:
        """Have the rows of a file predicted, up to gigabytes of them, and return when all of it is sent.

        `Job.follow` tells how many rows are done, and `Job.save` writes what comes out.

        Args:
            name: of the model.
            path: ends in `.npy` (one array, rows first), `.csv` (a row of numbers on each line), or `.ndjson`
                or `.jsonl` (a row as JSON on each line).
            version: the latest one unless given.
            output: name of the output to give; the model's default unless given.
            webhook: address that the hub calls when it has ended.
            progress: called with the bytes sent and all there are.

        Raises:
            HubError: the hub refused it: the model takes no such rows, for instance.
            OSError: the file cannot be read.
        """
        wishes = {"outputs": output, "webhook": webhook}
        return Job(self, bulk.send(self._http, name, Path(path), version, wishes, progress).id)

    def predict_file(
        self,
        name: str,
        path: str | os.PathLike[str],
        target: str | os.PathLike[str],
        version: str | None = None,
        *,
        output: str | None = None,
        progress: Progress | None = None,
    ) -> Path:
        """Predict all rows of a file, and write what comes out to another one.

        Args:
            name: of the model.
            path: as in `submit_file`.
            target: the file to write, with an ending of the same kinds, which tells its form.
            version: the latest one unless given.
            output: name of the output to give; the model's default unless given.
            progress: called with the rows that are done and all there are.

        Raises:
            HubError: the hub refused it, or the prediction failed (`prediction_failed`).
            OSError: a file cannot be read or written.
        """
        bulk.media_type(Path(target))
        job = self.submit_file(name, path, version, output=output)
        succeeded(job.follow(progress))
        return job.save(target)

    def save_output(self, identity: str, path: Path, progress: Progress | None) -> Path:
        """Write the output of a file's prediction to a file; `Job.save` is the short way."""
        address = prediction_path(identity, "output")
        return bundle.save(self._fetch(address, bulk.media_type(path)), path, progress)

    def output_lines(self, identity: str) -> Iterator[str]:
        """Yield the output of a file's prediction as JSON, row by row; `Job.lines` is the short way."""
        return bulk.lines(self._fetch(prediction_path(identity, "output"), bulk.JSON_LINES)({}))

    def job(self, identity: str) -> Job:
        """Return a prediction that was submitted before, here or elsewhere; the hub is not asked yet."""
        return Job(self, identity)

    def prediction(self, identity: str, wait: float | None = None) -> Prediction:
        """Return a submitted prediction; with `wait`, when it has ended or that many seconds passed."""
        response = self._http.call("GET", prediction_path(identity), wait=wait, repeat=Repeat.SAFE)
        return read(response, Prediction)

    def predictions(
        self, model: str | None = None, status: str | None = None, limit: int | None = None
    ) -> Iterator[Prediction]:
        """Yield the submitted predictions that meet the filters, newest first."""
        return self._list("/predictions", Prediction, {"model": model, "status": status}, limit)

    def cancel(self, identity: str) -> Prediction:
        """Cancel a submitted prediction and return it."""
        return read(self._http.call("POST", prediction_path(identity, "cancel")), Prediction)

    def _predict(self, name: str, body: bytes, version: str | None, wait: float | None) -> requests.Response:
        address = version_path(name, version or LATEST, "predict")
        return self._http.call("POST", address, data=body, headers=JSON, wait=wait, repeat=Repeat.SAFE)


def _sent(rows: Any, send: Callable[[Any], requests.Response]) -> requests.Response:
    """Send rows; those of a data frame by the names of its columns where the model takes each as an input."""
    try:
        return send(rows)
    except HubError as error:
        if error.code != "unnamed_inputs" or not arrays.is_table(rows):
            raise
        return send(arrays.columns(rows))
