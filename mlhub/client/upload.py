"""An upload from its first byte to the end of its validation."""

import time
from typing import BinaryIO, Final

import msgspec

from mlhub.client.address import model_path, version_path
from mlhub.client.begun import BegunUpload
from mlhub.client.bundle import BundleReader, Progress, check_archive
from mlhub.client.errors import HubError
from mlhub.client.records import Version, read
from mlhub.client.resumable import send_resumably
from mlhub.client.transport import Repeat, Transport

_HEADERS: Final = {"Content-Type": "application/octet-stream"}
_LARGE: Final = 64 * 1024 * 1024
"""Bytes from which on an upload goes in pieces, and on where it stood when its connection breaks."""
_PAUSE: Final = 0.5
"""Seconds between two looks at a version that the hub did not wait for."""


def send(
    http: Transport,
    name: str,
    file: BinaryIO,
    version: str | None,
    wait: float,
    progress: Progress | None,
) -> Version:
    """Send a bundle and return its version, once it is ready or `wait` seconds after the last byte.

    Raises:
        HubError: the hub refused it, it changed on the way, or its validation failed.
        OSError: the file cannot be read.
    """
    check_archive(file)
    reader = BundleReader(file, progress)
    uploaded = None
    if reader.size is not None and reader.size >= _LARGE:
        begun = BegunUpload(http.url, name, version, file)
        uploaded = send_resumably(http, name, reader, reader.size, version, begun)
        deadline = time.monotonic() + wait
    if uploaded is None:
        response = http.call(
            "POST",
            model_path(name, "upload"),
            params={} if version is None else {"version": version},
            data=reader.body(),
            headers=_HEADERS,
            wait=wait or None,
        )
        deadline = time.monotonic() + wait - response.elapsed.total_seconds()
        uploaded = read(response, Version)
    if uploaded.bundle is not None and uploaded.bundle.sha256 != reader.sha256():
        raise HubError(
            f"The hub received something else than was sent as version {uploaded.version!r}: its SHA-256 "
            "differs. Delete that version and try again.",
            code="digest_mismatch",
        )
    return _settled(http, name, uploaded, deadline)


def _settled(http: Transport, name: str, version: Version, deadline: float) -> Version:
    """Wait on where the hub did not: for content it has already, or for longer than it lets clients wait."""
    while version.state == "validating" and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(_PAUSE, left))
        response = http.call("GET", version_path(name, version.version), repeat=Repeat.SAFE)
        version = read(response, Version)
    if version.state == "failed":
        raise HubError(
            f"Version {version.version!r} of {name!r} is no good: {version.error or 'no reason given.'}",
            code="validation_failed",
        )
    return msgspec.structs.replace(version, model=name)
