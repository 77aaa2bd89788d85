"""A bundle store in an object store, by fsspec: S3 and what speaks its protocol, or any other it knows."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from mlhub.storage.bundles import BundleWriter, is_key, missing, require_key
from mlhub.storage.disk import unavailable
from mlhub.storage.remote import Spool, buffered

_LOG = logging.getLogger(__name__)

_PART: Final = 16 * 1024 * 1024
"""Bytes sent or fetched in one request."""


class ObjectBundleStore:
    """Bundles as objects `root/ab/abcdef….0123…`; an object appears when its last byte is there."""

    def __init__(self, filesystem: Any, root: str, spool: Spool) -> None:
        """Take a place in an object store.

        Args:
            filesystem: of fsspec.
            root: bucket and prefix, without scheme.
            spool: where uploads gather.
        """
        self._files = filesystem
        self._root = root.rstrip("/")
        self._spool = spool

    def create(self) -> BundleWriter:
        """Begin to take a bundle in.

        Raises:
            UnavailableError: this machine's disk is full.
        """
        return self._spool.create(self._put)

    def open(self, key: str) -> BinaryIO:
        """Open a bundle for reading, from anywhere in it.

        Raises:
            NotFoundError: it is not there.
            UnavailableError: the object store does not answer.
        """
        with _translated():
            file = self._files.open(self._place(key), "rb", block_size=_PART, cache_type="readahead")
            return buffered(file, _translated)

    def size(self, key: str) -> int:
        """Return a bundle's size in bytes.

        Raises:
            NotFoundError: it is not there.
            UnavailableError: the object store does not answer.
        """
        with _translated():
            return int(self._files.info(self._place(key))["size"])

    def delete(self, key: str) -> None:
        """Drop a bundle, or the parts of one that never became whole; one that is not there is fine.

        Raises:
            UnavailableError: the object store does not answer.
        """
        if not is_key(key):
            return
        place = self._place(key)
        with _translated(), contextlib.suppress(FileNotFoundError):
            self._clear_parts(place)
            self._files.rm_file(place)

    def check(self) -> None:
        """See whether the bucket is there and this machine's disk takes a file.

        Raises:
            UnavailableError: it does not, and why.
        """
        with _translated():
            if not self._files.exists(self._root.split("/")[0]):
                raise unavailable("its bucket is missing, or not for these credentials")
        self._spool.create(self._put).abort()

    def listing(self) -> Iterator[tuple[str, float]]:
        """Yield the key of each bundle and the time it came, in seconds since 1970.

        Raises:
            UnavailableError: the object store does not answer.
        """
        with _translated():
            found = self._files.find(self._root, detail=True)
            for place, info in found.items():
                name = place.rpartition("/")[2]
                if is_key(name):
                    yield name, info["LastModified"].timestamp()

    def abandoned(self, older_than: float) -> int:
        """Clear away what writers on this machine left that died more than `older_than` seconds ago.

        Raises:
            UnavailableError: the disk cannot be written.
        """
        return self._spool.clear(older_than)

    def _place(self, key: str) -> str:
        require_key(key)
        return f"{self._root}/{key[:2]}/{key}"

    def _put(self, key: str, path: Path) -> None:
        options = {"chunksize": _PART} if self._is_s3 else {}
        with _translated():
            self._files.put_file(str(path), self._place(key), **options)

    @property
    def _is_s3(self) -> bool:
        return "s3" in self._files.protocol

    def _clear_parts(self, place: str) -> None:
        """Drop the parts of an upload of this object that a process began and died in."""
        if not self._is_s3:
            return
        bucket, _, name = place.partition("/")
        found = self._files.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=name)
        for begun in found.get("Uploads", ()):
            self._files.abort_mpu(bucket, begun["Key"], begun["UploadId"])


def _failures() -> tuple[type[Exception], ...]:
    """Return what object stores raise; S3's library has errors of its own, where it is loaded."""
    botocore = sys.modules.get("botocore.exceptions")
    return (OSError,) if botocore is None else (OSError, botocore.BotoCoreError, botocore.ClientError)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise missing() from error
    except _failures() as error:
        _LOG.warning("bundle store: %s", error)
        raise unavailable(
            "its object store does not answer, or refuses; the hub's log has its words"
        ) from error
