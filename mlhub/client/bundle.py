"""Bundles on their way: read from a file and hashed while they are sent, written to a file and checked."""

import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import BinaryIO, Final

import requests

from mlhub.client.errors import HubError, from_failure
from mlhub.common.archive import HEAD, archive_kind

Progress = Callable[[int, int | None], None]
"""Told how many bytes are done and how many there are, where that is known."""

_PIECE: Final = 256 * 1024
_PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each try to go on, as long as no byte gets through."""
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class BundleReader:
    """A file as the body of an upload: hashed and counted while it is read, never in memory as a whole."""

    def __init__(self, file: BinaryIO, progress: Progress | None) -> None:
        self._file = file
        self._progress = progress
        self._hash = hashlib.sha256()
        self._done = 0
        self._hashed = 0
        self.size = _size(file)
        """Bytes; `None` when the file cannot tell, as a pipe."""
        self._start = file.tell() if self.size is not None else 0

    def body(self) -> "BundleReader | Iterator[bytes]":
        """Return it in the form that the HTTP library sends with a length, or in chunks without one."""
        return self if self.size is not None else iter(self)

    def __len__(self) -> int:
        return self.size or 0

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(_PIECE):
            yield piece

    def read(self, size: int = _PIECE) -> bytes:
        """Return the next bytes."""
        piece = self._file.read(size)
        # What is read again, since it did not get through, is in the hash already.
        self._hash.update(memoryview(piece)[max(0, self._hashed - self._done) :])
        self._done += len(piece)
        self._hashed = max(self._hashed, self._done)
        if self._progress is not None:
            self._progress(self._done, self.size)
        return piece

    def piece(self, offset: int, size: int) -> "BundlePiece":
        """Return a part of it as a body of its own, to be read next."""
        self._file.seek(self._start + offset)
        self._done = offset
        return BundlePiece(self, size)

    def sha256(self) -> str:
        """Return the SHA-256 of what was read, in hexadecimal."""
        return self._hash.hexdigest()


class BundlePiece:
    """Some of the bytes of a bundle, as the body of a request."""

    def __init__(self, reader: BundleReader, size: int) -> None:
        self._reader = reader
        self._size = self._left = size

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(_PIECE):
            yield piece

    def read(self, size: int = _PIECE) -> bytes:
        """Return the next bytes."""
        piece = self._reader.read(min(size, self._left)) if self._left else b""
        self._left -= len(piece)
        return piece


def check_archive(file: BinaryIO) -> None:
    """Refuse a file that is no archive before it is sent, where it can be looked at beforehand.

    Raises:
        HubError: it is none.
    """
    if not file.seekable():
        return
    start = file.tell()
    head = file.read(HEAD)
    file.seek(start)
    if archive_kind(head) is None:
        raise HubError("The file is no bundle: make it a tar, a tar.gz or a zip.", code="not_an_archive")


Fetch = Callable[[dict[str, str]], requests.Response]
"""Asks for a download with further headers; the body of the answer is not read yet."""


def save(fetch: Fetch, path: Path, progress: Progress | None) -> Path:
    """Write a download to `path`, which changes only when all of it is there and right.

    When the connection breaks, the rest is asked for.

    Args:
        fetch: asks for it.
        path: a file, or a folder in which the file gets the name that the hub gives it.
        progress: told of the bytes.

    Raises:
        HubError: it did not come as a whole, or is not what its tag says.
        OSError: the file cannot be written.
    """
    response = fetch({})
    if path.is_dir():
        path /= offered_name(response)
    with _replacing(path) as file:
        Download(fetch, file, progress).run(response)
    return path


class Download:
    """A bundle on its way to a file."""

    def __init__(self, fetch: Fetch, file: BinaryIO, progress: Progress | None) -> None:
        self._fetch = fetch
        self._file = file
        self._progress = progress
        self._hash = hashlib.sha256()
        self._done = 0

    def run(self, response: requests.Response) -> None:
        """Write all of it, from the first answer on.

        Raises:
            HubError: it did not come as a whole, or is not what its tag says.
            OSError: the file cannot be written.
        """
        tag = _tag(response)
        total = int(response.headers["Content-Length"]) if "Content-Length" in response.headers else None
        pauses = list(_PAUSES)
        furthest = 0
        while True:
            try:
                with response:
                    self._take(response, total)
                break
            except HubError:
                if self._done > furthest:
                    furthest, pauses = self._done, list(_PAUSES)
                if tag is None or not pauses:
                    raise
            time.sleep(pauses.pop(0))
            response = self._again(tag)
        if tag is not None and _SHA256.fullmatch(tag) and self._hash.hexdigest() != tag:
            raise HubError(
                f"What came of {response.url} is not what the hub has: its SHA-256 differs. Try again.",
                code="digest_mismatch",
            )

    def _take(self, response: requests.Response, total: int | None) -> None:
        for piece in _pieces(response):
            self._file.write(piece)
            self._hash.update(piece)
            self._done += len(piece)
            if self._progress is not None:
                self._progress(self._done, total)

    def _again(self, tag: str) -> requests.Response:
        """Ask for the rest, or begin again where the hub gives only all of it."""
        headers = {"Range": f"bytes={self._done}-", "If-Range": f'"{tag}"'} if self._done else {}
        response = self._fetch(headers)
        if response.headers.get("Content-Range", "").startswith(f"bytes {self._done}-"):
            return response
        self._file.seek(0)
        self._file.truncate()
        self._hash, self._done = hashlib.sha256(), 0
        return response


def offered_name(response: requests.Response) -> str:
    """Return the file name that a download comes with, free of anything that leads to another folder."""
    header = Message()
    header["Content-Disposition"] = response.headers.get("Content-Disposition", "")
    name = re.sub(r"[^A-Za-z0-9._-]", "_", header.get_filename() or "").lstrip(".")
    return name or "bundle"


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of `path` if all goes well, and else disappears."""
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _pieces(response: requests.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_content(_PIECE)
    except requests.RequestException as error:
        raise from_failure(error, response.url) from error


def _tag(response: requests.Response) -> str | None:
    tag = response.headers.get("ETag", "")
    # Only a strong one says that two answers have the same bytes.
    return tag.strip('"') if tag.startswith('"') else None


def _size(file: BinaryIO) -> int | None:
    if not file.seekable():
        return None
    start = file.tell()
    size = file.seek(0, os.SEEK_END) - start
    file.seek(start)
    return size
