"""A large upload that goes on where it stood when its connection breaks (tus 1.0)."""

import base64
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

import msgspec

from mlhub.client.begun import BegunUpload
from mlhub.client.bundle import BundlePiece, BundleReader
from mlhub.client.errors import HubError
from mlhub.client.records import Version, read
from mlhub.client.transport import Repeat, Transport

_PIECE: Final = 32 * 1024 * 1024
"""Bytes sent in one request: what a hub that dies in the middle of one may cost."""
_PAUSE: Final = 0.5
"""Seconds before the first try to go on; each later pause is twice as long."""
_LONGEST_PAUSE: Final = 15.0
_TRIES: Final = 8
"""How often to try in a row without any byte getting through."""
_TUS: Final = {"Tus-Resumable": "1.0.0"}
_AGAIN: Final = frozenset(
    {
        HTTPStatus.CONFLICT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""Answers after which to look where the upload stands."""


class _Upload(msgspec.Struct, frozen=True):
    """An upload as the hub shows it."""

    offset: int
    version: Version | None = None


def send_resumably(
    http: Transport, name: str, reader: BundleReader, size: int, version: str | None, begun: BegunUpload
) -> Version | None:
    """Send a file and return the version that it became; nothing when the hub knows no such uploads.

    Args:
        http: the hub.
        name: of the model.
        reader: the file.
        size: its bytes.
        version: its name; the next number unless given.
        begun: what is remembered of it, when an earlier run was broken off.

    Raises:
        HubError: the hub refused it, or stayed away for too long.
        OSError: the file cannot be read.
    """
    address: str | None = begun.address()
    offset: int | None = 0
    try:
        if address is not None:
            offset = _go_on(http, address, reader)
        if address is None or offset is None:
            address, offset = _begin(http, name, size, version), 0
            if address is None:
                return None
            begun.keep(address)
        uploaded = _send(http, address, reader, size, offset)
    except HubError as error:
        if not _is_passing(error):
            begun.forget()
        raise
    begun.forget()
    return uploaded


def _begin(http: Transport, name: str, size: int, version: str | None) -> str | None:
    """Return the address of a new upload; nothing when the hub knows no such uploads."""
    try:
        begun = http.call("POST", "/uploads", headers=_TUS | _describe(name, size, version))
    except HubError as error:
        if error.status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED} and error.code in _UNKNOWN:
            return None
        raise
    return begun.headers["Location"]


def _go_on(http: Transport, address: str, reader: BundleReader) -> int | None:
    """Return where an upload of an earlier run stands; nothing when it is there no more."""
    try:
        answer = http.call("HEAD", address, headers=_TUS, repeat=Repeat.SAFE)
    except HubError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise
    offset = int(answer.headers["Upload-Offset"])
    # Its digest is that of the whole.
    for _ in reader.piece(0, offset):
        pass
    return offset


def _send(http: Transport, address: str, reader: BundleReader, size: int, offset: int) -> Version:
    pauses = _pauses()
    while True:
        try:
            before = offset
            offset = _send_piece(http, address, reader.piece(offset, min(_PIECE, size - offset)), offset)
            if offset == size:
                return _result(http, address)
        except HubError as error:
            if not _is_passing(error):
                raise
            pause = next(pauses, None)
            if pause is None:
                raise
            time.sleep(pause)
            offset = _offset(http, address, offset)
        if offset > before:
            pauses = _pauses()


_UNKNOWN: Final = frozenset({"not_found", "method_not_allowed"})
"""Codes of a hub that has no such address, rather than no such model."""


def _describe(name: str, size: int, version: str | None) -> dict[str, str]:
    values = {"model": name} | ({} if version is None else {"version": version})
    encoded = (f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())
    return {"Upload-Length": str(size), "Upload-Metadata": ",".join(encoded)}


def _send_piece(http: Transport, address: str, piece: BundlePiece, offset: int) -> int:
    headers = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    answer = http.call("PATCH", address, data=piece, headers=_TUS | headers, repeat=Repeat.NEVER)
    return int(answer.headers["Upload-Offset"])


def _offset(http: Transport, address: str, offset: int) -> int:
    """Ask where the upload stands; where the hub is still away, take it to stand where it stood."""
    try:
        answer = http.call("HEAD", address, headers=_TUS, repeat=Repeat.NEVER)
    except HubError as error:
        if not _is_passing(error):
            raise
        return offset
    return int(answer.headers["Upload-Offset"])


def _result(http: Transport, address: str) -> Version:
    upload = read(http.call("GET", address, headers=_TUS, repeat=Repeat.SAFE), _Upload)
    if upload.version is None:
        raise HubError("The version that was uploaded has been removed meanwhile.", code="version_removed")
    return upload.version


def _is_passing(error: HubError) -> bool:
    """Tell whether an error may be over in a while: the hub was away, or busy, or stands somewhere else."""
    if error.status is None:
        return error.code in {"broken", "no_answer", "no_hub"}
    if error.code == "body_incomplete":
        return True
    return error.status in _AGAIN and error.code not in {"version_exists", "version_removed", "type_fixed"}


def _pauses() -> Iterator[float]:
    return (min(_PAUSE * 2**number, _LONGEST_PAUSE) for number in range(_TRIES))
