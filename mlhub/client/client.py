"""The Python client: what a hub can do, with numpy arrays and files."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self
from urllib.parse import quote, urljoin

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from mlhub.client.errors import HubError
from mlhub.client.job import Job, to_arrays
from mlhub.client.records import Model, Prediction, Version
from mlhub.client.transport import Transport
from mlhub.common.tensor import Array

DEFAULT_URL: Final = "http://127.0.0.1:8181"
_PIECE: Final = 1024 * 1024

Progress = Callable[[int, int], None]
"""Told after each piece how many bytes are through, and how many there are."""


class Client:
    """A hub. May be used from several threads; close it, or use it in a `with` statement."""

    def __init__(self, url: str | None = None, token: str | None = None, timeout: float = 60.0) -> None:
        """Name the hub.

        Args:
            url: where it is; else `MLHUB_URL`, else this machine.
            token: its bearer token; else `MLHUB_TOKEN`.
            timeout: seconds to wait for any answer, on top of waits that are asked for.
        """
        address = url or os.environ.get("MLHUB_URL") or DEFAULT_URL
        self._transport = Transport(address, token or os.environ.get("MLHUB_TOKEN"), timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def status(self) -> dict[str, Any]:
        """Return how the parts of the hub are."""
        body: dict[str, Any] = msgspec.json.decode(self._transport.send("GET", "/status").content)
        return body

    def models(self, *, limit: int = 100, **filters: str | None) -> Iterator[Model]:
        """Yield all models that meet the filters, page by page.

        Args:
            limit: models to ask for at once.
            filters: `q`, `type`, `discipline`, `owner`, `tag`, `state`, `sort`.
        """
        given: dict[str, Any] = {name: value for name, value in filters.items() if value is not None}
        path, parameters = "/models", given | {"limit": limit}
        while path:
            response = self._transport.send("GET", path, params=parameters)
            yield from msgspec.json.decode(response.content, type=list[Model])
            following = response.links.get("next", {}).get("url")
            path, parameters = (urljoin(response.url, following) if following else ""), {}

    def model(self, name: str) -> Model:
        """Return a model with its versions."""
        return msgspec.json.decode(self._transport.send("GET", _path(name)).content, type=Model)

    def create(self, name: str, type: str, **fields: Any) -> Model:  # noqa: A002 (the hub's own word)
        """Create the entry of a model; `fields` are those of the HTTP call, such as `description`."""
        return self._write("POST", name, fields | {"type": type})

    def update(self, name: str, **fields: Any) -> Model:
        """Change fields of an entry; the others stay."""
        return self._write("PUT", name, fields)

    def delete(self, name: str) -> None:
        """Remove a model with all its versions."""
        self._transport.send("DELETE", _path(name))

    def versions(self, name: str) -> list[Version]:
        """Return the versions of a model, newest first."""
        return list(self.model(name).versions)

    def version(self, name: str, version: str) -> Version:
        """Return one version of a model."""
        response = self._transport.send("GET", _path(name, "versions", version))
        return msgspec.json.decode(response.content, type=Version)

    def delete_version(self, name: str, version: str) -> None:
        """Remove one version of a model."""
        self._transport.send("DELETE", _path(name, "versions", version))

    def upload(
        self,
        name: str,
        bundle: str | os.PathLike[str] | BinaryIO,
        *,
        version: str | None = None,
        wait: int | None = 60,
        progress: Progress | None = None,
    ) -> Version:
        """Upload a bundle as a new version, with flat memory.

        Args:
            name: the model.
            bundle: path of a tar, tar.gz or zip, or such a file opened for reading bytes.
            version: name of the version; the next whole number if not given.
            wait: seconds to wait for the end of validation; `None` returns at once.
            progress: told how far the upload is.

        Raises:
            HubError: the bundle was refused, or validation failed; the message says why.
        """
        headers = {"Content-Type": "application/octet-stream"}
        if wait is not None:
            headers["Prefer"] = f"wait={wait}"
        parameters = {} if version is None else {"version": version}
        with _opened(bundle) as file:
            response = self._transport.send(
                "POST",
                _path(name, "upload"),
                params=parameters,
                headers=headers,
                data=_Reader(file, progress),
                wait=wait or 0,
            )
        return msgspec.json.decode(response.content, type=Version)

    def download(
        self,
        name: str,
        target: str | os.PathLike[str],
        *,
        version: str | None = None,
        progress: Progress | None = None,
    ) -> Path:
        """Download a bundle into the file or folder `target`, check that it came whole, return its path."""
        parameters = {} if version is None else {"version": version}
        response = self._transport.send("GET", _path(name, "download"), params=parameters, stream=True)
        path = Path(target)
        if path.is_dir():
            path /= _filename(response.headers.get("Content-Disposition", ""), name)
        partial = path.with_name(f".{path.name}.partial")
        digest, total, done = hashlib.sha256(), int(response.headers.get("Content-Length", 0)), 0
        try:
            with response, partial.open("wb") as file:
                for piece in response.iter_content(_PIECE):
                    digest.update(piece)
                    file.write(piece)
                    done += len(piece)
                    if progress is not None:
                        progress(done, total)
            if digest.hexdigest() != response.headers.get("ETag", "").strip('"'):
                raise HubError("The download did not arrive whole; try again.", code="download_incomplete")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return path

    def predict(
        self, name: str, rows: ArrayLike, *, version: str | None = None, wait: int | None = None
    ) -> Array | dict[str, Array]:
        """Predict one row, or a list of rows, and wait for the answer.

        Args:
            name: the model.
            rows: values in the shape of one row of the model, or with the rows as first dimension.
            version: which version; the latest if not given.
            wait: seconds to wait at most; 30 if not given.

        Returns:
            One output for one row, an array of them for several; by name for models with several outputs.
        """
        headers = {} if wait is None else {"Prefer": f"wait={wait}"}
        response = self._predict(name, rows, version, headers, wait or 0)
        return to_arrays(msgspec.json.decode(response.content)["output"])

    def submit(self, name: str, rows: ArrayLike, *, version: str | None = None) -> Job:
        """Hand a prediction over to be done later; returns when the hub has it for good."""
        response = self._predict(name, rows, version, {"Prefer": "respond-async"}, 0)
        return self.job(msgspec.json.decode(response.content, type=Prediction).id)

    def job(self, identity: str) -> Job:
        """Return a prediction that was handed over before, by its id."""
        return Job(identity, self._prediction, self._cancel)

    def prediction(self, identity: str) -> Prediction:
        """Return an asynchronous prediction as it stands now."""
        return self._prediction(identity, 0)

    def _predict(
        self, name: str, rows: ArrayLike, version: str | None, headers: dict[str, str], wait: float
    ) -> Any:
        body = msgspec.json.encode({"input": np.asarray(rows).tolist()})
        headers["Content-Type"] = "application/json"
        parameters = {} if version is None else {"version": version}
        # A synchronous prediction changes nothing on the hub, so asking twice is harmless.
        again = headers.get("Prefer") != "respond-async"
        path = _path(name, "predict")
        return self._transport.send(
            "POST", path, params=parameters, headers=headers, data=body, again=again, wait=wait
        )

    def _prediction(self, identity: str, wait: int) -> Prediction:
        headers = {"Prefer": f"wait={wait}"} if wait else {}
        path = f"/predictions/{quote(identity, safe='')}"
        response = self._transport.send("GET", path, headers=headers, wait=wait)
        return msgspec.json.decode(response.content, type=Prediction)

    def _cancel(self, identity: str) -> Prediction:
        response = self._transport.send("POST", f"/predictions/{quote(identity, safe='')}/cancel")
        return msgspec.json.decode(response.content, type=Prediction)

    def _write(self, method: str, name: str, fields: dict[str, Any]) -> Model:
        body, headers = msgspec.json.encode(fields), {"Content-Type": "application/json"}
        response = self._transport.send(method, _path(name), data=body, headers=headers)
        return msgspec.json.decode(response.content, type=Model)


class _Reader:
    """A file that reports how far it was read; `requests` sends it piece by piece."""

    def __init__(self, file: BinaryIO, progress: Progress | None) -> None:
        self._file = file
        self._progress = progress
        start = file.tell()
        self._total = file.seek(0, os.SEEK_END) - start
        file.seek(start)
        self._done = 0

    def __len__(self) -> int:
        return self._total

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; larger pieces than are asked for make large uploads faster."""
        piece = self._file.read(max(size, _PIECE) if size > 0 else size)
        self._done += len(piece)
        if self._progress is not None:
            self._progress(self._done, self._total)
        return piece


@contextmanager
def _opened(bundle: str | os.PathLike[str] | BinaryIO) -> Iterator[BinaryIO]:
    if not isinstance(bundle, str | os.PathLike):
        yield bundle
        return
    try:
        file = Path(bundle).open("rb")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise HubError(f"{os.fspath(bundle)} cannot be read: {error.strerror}.", code="unreadable") from error
    with file:
        yield file


def _path(name: str, *more: str) -> str:
    return "/".join(["/model", *(quote(part, safe="") for part in (name, *more))])


def _filename(disposition: str, name: str) -> str:
    _, _, filename = disposition.partition('filename="')
    # Only the last part, whatever a hub may send.
    return Path(filename.rstrip('"')).name or f"{name}.tar.gz"
