"""The Python client: a hub's calls as methods."""

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, Self, TypeVar
from uuid import uuid4

import msgspec
import requests

from mlhub.client import arrays, bulk, bundle
from mlhub.client.address import (
    base_url,
    model_path,
    next_url,
    prediction_path,
    version_path,
    workers_path,
)
from mlhub.client.bundle import Progress
from mlhub.client.errors import HubError
from mlhub.client.job import Job, succeeded
from mlhub.client.operations import Operations
from mlhub.client.records import Answer, Model, Pools, Prediction, Status, Version, read
from mlhub.client.transport import Repeat, Transport
from mlhub.client.upload import send
from mlhub.common.export import MEDIA_TYPE
from mlhub.common.names import LATEST
from mlhub.common.tensor import Array

T = TypeVar("T")

DEFAULT_URL: Final = "http://127.0.0.1:8181"
URL_VARIABLE: Final = "MLHUB_URL"
TOKEN_VARIABLE: Final = "MLHUB_TOKEN"  # noqa: S105 - the name of a variable, not a secret

_JSON: Final = {"Content-Type": "application/json"}
_PAGE: Final = 200
"""Entries asked for at once when a list is read through."""


class Client(Operations):
    """A hub, as seen from Python; any number of threads may share one.

    Every method raises `HubError` when the hub refuses, fails or does not answer. Calls that can be made
    twice without harm are repeated by themselves when the connection breaks or the hub is busy.

    Args:
        url: address of the hub; `MLHUB_URL`, or else this machine's.
        token: its token; `MLHUB_TOKEN`, or else none.
        timeout: seconds to wait for an answer, beyond those the hub is asked to take.
        retries: how often a call may be repeated.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, timeout: float = 60.0, retries: int = 3
    ) -> None:
        self.url = base_url(url or os.environ.get(URL_VARIABLE) or DEFAULT_URL)
        """Address of the hub."""
        self._http = Transport(self.url, token or os.environ.get(TOKEN_VARIABLE), timeout, retries)

    def models(
        self,
        q: str | None = None,
        type: str | None = None,  # noqa: A002 - the field's name in the hub
        *,
        discipline: str | None = None,
        owner: str | None = None,
        tag: str | None = None,
        state: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Model]:
        """Yield the entries that meet all filters, page after page as they are needed.

        Args:
            q: words in name, description, tags or discipline.
            type: `TensorFlow`, `PyTorch`, `Keras` or `ScikitLearn`.
            discipline: field of research.
            owner: who created it.
            tag: one of its tags.
            state: `empty`, `validating`, `ready` or `failed`.
            sort: `name`, or `-updated_at` for the latest change first.
            limit: how many at most.
        """
        filters = {
            "q": q,
            "type": type,
            "discipline": discipline,
            "owner": owner,
            "tag": tag,
            "state": state,
            "sort": sort,
        }
        return self._list("/models", Model, filters, limit)

    def model(self, name: str) -> Model:
        """Return an entry with its versions."""
        return read(self._http.call("GET", model_path(name), repeat=Repeat.SAFE), Model)

    def create(self, name: str, type: str, **fields: Any) -> Model:  # noqa: A002 - the field's name in the hub
        """Create an entry and return it.

        Args:
            name: of the model.
            type: `TensorFlow`, `PyTorch`, `Keras` or `ScikitLearn`, in any case.
            fields: any of `meta`, `description`, `reference`, `discipline`, `tags`, `backend`, `visibility`,
                `input_example` and `version`, the name of the first version.
        """
        body = msgspec.json.encode({"model": name, "type": type, **fields})
        return read(self._http.call("POST", model_path(name), data=body, headers=_JSON), Model)

    def update(self, name: str, **fields: Any) -> Model:
        """Change the fields that are given, as in `create`, and return the entry.

        `version` sets which version `latest` means; `None` makes it the newest ready one again.
        """
        body = msgspec.json.encode(fields)
        response = self._http.call("PUT", model_path(name), data=body, headers=_JSON, repeat=Repeat.SAFE)
        return read(response, Model)

    def delete(self, name: str) -> None:
        """Delete an entry with all its versions."""
        self._http.call("DELETE", model_path(name))

    def versions(self, name: str) -> list[Version]:
        """Return the versions of a model, newest first."""
        response = self._http.call("GET", model_path(name, "versions"), repeat=Repeat.SAFE)
        return read(response, list[Version])

    def version(self, name: str, version: str = LATEST) -> Version:
        """Return one version."""
        return read(self._http.call("GET", version_path(name, version), repeat=Repeat.SAFE), Version)

    def delete_version(self, name: str, version: str) -> None:
        """Delete one version."""
        self._http.call("DELETE", version_path(name, version))

    def upload(
        self,
        name: str,
        file: str | os.PathLike[str] | BinaryIO,
        version: str | None = None,
        *,
        wait: float = 60.0,
        progress: Progress | None = None,
    ) -> Version:
        """Send a bundle as a new version and return it, `ready`; or `validating` after `wait` seconds.

        The file is read piece by piece, whatever its size. A large one goes on where it stood when the
        connection breaks.

        Args:
            name: of the model.
            file: a path, or a file opened for reading bytes.
            version: its name; the next whole number unless given.
            wait: seconds to wait for the end of validation; 0 returns at once.
            progress: called with the bytes sent and all there are (`None` where that is unknown).

        Raises:
            HubError: the hub refused it, or validation failed (`validation_failed`).
            OSError: the file cannot be read.
        """
        if not isinstance(file, str | os.PathLike):
            return send(self._http, name, file, version, wait, progress)
        with Path(file).open("rb") as opened:
            return send(self._http, name, opened, version, wait, progress)

    def download(
        self,
        name: str,
        path: str | os.PathLike[str],
        version: str | None = None,
        *,
        progress: Progress | None = None,
    ) -> Path:
        """Write a bundle to a file, checked against the hub's SHA-256, and return the file's path.

        When the connection breaks, only the rest is asked for again.

        Args:
            name: of the model.
            path: the file, which appears only when it is complete; or a folder to put it in.
            version: the latest one unless given.
            progress: called with the bytes received and all there are.

        Raises:
            HubError: there is none, or it did not arrive as the hub has it.
            OSError: the file cannot be written.
        """
        address = version_path(name, version or LATEST, "download")
        return bundle.save(self._fetch(address), Path(path), progress)

    def export(self, name: str, path: str | os.PathLike[str], *, progress: Progress | None = None) -> Path:
        """Write an entry with all its versions to one file, or to a folder, and return the file's path.

        Raises:
            HubError: there is no such entry, or it did not arrive as a whole.
            OSError: the file cannot be written.
        """
        return bundle.save(self._fetch(model_path(name, "export")), Path(path), progress)

    def take_in(self, file: BinaryIO, name: str | None = None, *, progress: Progress | None = None) -> Model:
        """Send an export, of this hub or another, and return the entry that it became.

        Args:
            file: what `export` wrote.
            name: of the entry; the one it had unless given.
            progress: called with the bytes sent and all there are.

        Raises:
            HubError: the hub refused it; nothing of it stays then.
        """
        reader = bundle.BundleReader(file, progress)
        parameters = {} if name is None else {"name": name}
        headers = {"Content-Type": MEDIA_TYPE}
        return read(
            self._http.call("POST", "/import", params=parameters, data=reader.body(), headers=headers), Model
        )

    def predict(self, name: str, rows: Any, version: str | None = None, wait: float | None = None) -> Array:
        """Return what a model predicts: one output for one row, an array of them for several.

        Args:
            name: of the model.
            rows: one row or several, as an array or as lists.
            version: the latest one unless given.
            wait: seconds the hub may take; its own default unless given.
        """
        return arrays.array_of(self.ask(name, rows, version, wait).output)

    def ask(self, name: str, rows: Any, version: str | None = None, wait: float | None = None) -> Answer:
        """Predict as `predict` does; return the answer as JSON has it, with version and labels."""
        return read(self._predict(name, arrays.encode_rows(rows), version, wait), Answer)

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
        body = arrays.encode_inputs(rows) if isinstance(rows, Mapping) else arrays.encode_rows(rows)
        # Where the hub knows the key, a repetition gets the first answer.
        headers = {**_JSON, "Prefer": "respond-async", "Idempotency-Key": str(uuid4())}
        address = version_path(name, version or LATEST, "predict")
        parameters = {} if webhook is None else {"webhook": webhook}
        response = self._http.call("POST", address, params=parameters, data=body, headers=headers)
        return Job(self, read(response, Prediction).id)

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

    def status(self) -> Status:
        """Return how the hub and its parts are."""
        return read(self._http.call("GET", "/status", repeat=Repeat.SAFE), Status)

    def pools(self, backend: str) -> Pools:
        """Return how many processes the pools of a backend have and should have."""
        return read(self._http.call("GET", workers_path(backend), repeat=Repeat.SAFE), Pools)

    def scale(self, backend: str, **sizes: int) -> Pools:
        """Have pools of a backend brought to a size, and return them as they are now.

        Args:
            backend: its name.
            sizes: processes of `predict`, `jobs` and `servers`; those not given stay as they are.
        """
        body = msgspec.json.encode(sizes)
        response = self._http.call("PUT", workers_path(backend), data=body, headers=_JSON, repeat=Repeat.SAFE)
        return read(response, Pools)

    def ready(self) -> bool:
        """Tell whether the hub can answer predictions now; one that cannot be reached cannot."""
        try:
            self._http.call("GET", "/health/ready", repeat=Repeat.NEVER)
        except HubError:
            return False
        return True

    def _fetch(self, address: str, accept: str = "*/*") -> bundle.Fetch:
        """Return what asks for a download, or with further headers for a part of it."""
        # Compressed on the way, the bytes would not be those that were uploaded.
        headers = {"Accept-Encoding": "identity", "Accept": accept}

        def fetch(further: dict[str, str]) -> requests.Response:
            return self._http.call("GET", address, repeat=Repeat.SAFE, stream=True, headers=headers | further)

        return fetch

    def _predict(self, name: str, body: bytes, version: str | None, wait: float | None) -> requests.Response:
        address = version_path(name, version or LATEST, "predict")
        return self._http.call("POST", address, data=body, headers=_JSON, wait=wait, repeat=Repeat.SAFE)

    def _list(
        self, path: str, kind: type[T], filters: Mapping[str, str | None], limit: int | None
    ) -> Iterator[T]:
        size = _PAGE if limit is None else max(1, min(limit, _PAGE))
        parameters = {name: value for name, value in filters.items() if value is not None}
        return islice(self._pages(path, kind, parameters | {"limit": str(size)}), limit)

    def _pages(self, path: str, kind: type[T], parameters: dict[str, str]) -> Iterator[T]:
        response = self._http.call("GET", path, params=parameters, repeat=Repeat.SAFE)
        while True:
            yield from read(response, list[kind])  # type: ignore[valid-type]
            if "next" not in response.links:
                return
            following = next_url(response.url, response.links["next"]["url"])
            response = self._http.call("GET", following, repeat=Repeat.SAFE)

    def close(self) -> None:
        """Close the connections; the client can still be used and makes new ones."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
