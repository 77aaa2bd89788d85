"""Files with many rows: sent as they are, followed while the hub predicts them, and their outputs saved."""

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4

import requests

from mlhub.client.address import version_path
from mlhub.client.bundle import Progress
from mlhub.client.errors import HubError, from_failure
from mlhub.client.records import Prediction, read
from mlhub.client.transport import Transport
from mlhub.common.bulk import TYPES, BulkForm
from mlhub.common.names import LATEST

_FORMS: Final = {
    ".npy": BulkForm.NPY,
    ".csv": BulkForm.CSV,
    ".tsv": BulkForm.CSV,
    ".ndjson": BulkForm.JSON_LINES,
    ".jsonl": BulkForm.JSON_LINES,
}
"""What the ending of a file's name tells."""
JSON_LINES: Final = TYPES[BulkForm.JSON_LINES]
_BLOCK: Final = 256 * 1024
"""Bytes of lines taken at once."""
_PAUSES: Final = (0.5, 1.0, 2.0, 4.0)
"""Seconds before a file is sent again whose connection broke."""
_AGAIN: Final = frozenset({"broken", "no_answer", "no_hub", "body_incomplete"})


def form_of(path: Path) -> BulkForm | None:
    """Return the form of a file with rows by the ending of its name; nothing when it tells none."""
    return _FORMS.get(path.suffix.lower())


def media_type(path: Path) -> str:
    """Return the type of a file with rows.

    Raises:
        HubError: its ending tells none.
    """
    form = form_of(path)
    if form is None:
        raise HubError(f"{path} does not end in {', '.join(_FORMS)}, which tells its form.", code="bad_file")
    return TYPES[form]


def send(
    http: Transport,
    name: str,
    path: Path,
    version: str | None,
    wishes: Mapping[str, str | None],
    progress: Progress | None,
) -> Prediction:
    """Send a file, and return the prediction that the hub made of it.

    When the connection breaks, the file is sent again: under the same key, so that it is predicted once.

    Raises:
        HubError: the hub refused it, or stayed away.
        OSError: it cannot be read.
    """
    headers = {"Content-Type": media_type(path), "Prefer": "respond-async", "Idempotency-Key": str(uuid4())}
    parameters = {"bulk": "true", **{name: wish for name, wish in wishes.items() if wish is not None}}
    address = version_path(name, version or LATEST, "predict")
    with path.open("rb") as file:
        for pause in (*_PAUSES, None):
            file.seek(0)
            body = _Body(file, progress)
            try:
                response = http.call("POST", address, params=parameters, data=body, headers=headers)
            except HubError as error:
                if pause is None or error.code not in _AGAIN:
                    raise
                time.sleep(pause)
            else:
                return read(response, Prediction)
    raise AssertionError("After the last try there is no pause.")


class _Body:
    """A file as the body of a request, counted while it is read."""

    def __init__(self, file: BinaryIO, progress: Progress | None) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self._progress = progress
        self._done = 0

    def __len__(self) -> int:
        return self._size

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        piece = self._file.read(size)
        self._done += len(piece)
        if self._progress is not None:
            self._progress(self._done, self._size)
        return piece


def lines(response: requests.Response) -> Iterator[str]:
    """Yield the lines of an answer as they come.

    Raises:
        HubError: the connection broke.
    """
    try:
        with response:
            for line in response.iter_lines(_BLOCK):
                yield line.decode()
    except requests.RequestException as error:
        raise from_failure(error, response.url) from error
