"""A bundle store in the metadata database (GridFS): for several machines, with nothing extra to run."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from gridfs import GridFSBucket
from gridfs.errors import GridFSError, NoFile
from pymongo.database import Database
from pymongo.errors import PyMongoError

from mlhub.common.errors import UnavailableError
from mlhub.storage.bundles import BundleWriter, is_key, missing, require_key
from mlhub.storage.database import Document, check
from mlhub.storage.disk import RETRY_AFTER
from mlhub.storage.remote import Spool, buffered

_CHUNK: Final = 1024 * 1024
"""Bytes of one document; a quarter of the default's round trips."""


class GridFSBundleStore:
    """Bundles as files of GridFS; a file's document appears after its last chunk, so what is found is whole.

    What a process that died in `commit` leaves are chunks without a document, which `delete` clears away.
    """

    def __init__(self, database: Database[Document], spool: Spool) -> None:
        self._database = database
        self._bucket = GridFSBucket(database, "bundle_files", _CHUNK)
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
            UnavailableError: the database does not answer.
        """
        require_key(key)
        with _translated():
            return buffered(self._bucket.open_download_stream(key), _translated)

    def size(self, key: str) -> int:
        """Return a bundle's size in bytes.

        Raises:
            NotFoundError: it is not there.
            UnavailableError: the database does not answer.
        """
        require_key(key)
        with _translated(), self._bucket.open_download_stream(key) as file:
            return file.length

    def delete(self, key: str) -> None:
        """Drop a bundle, or the chunks of one that never became whole; one that is not there is fine.

        Raises:
            UnavailableError: the database does not answer.
        """
        if is_key(key):
            with _translated(), contextlib.suppress(NoFile):
                self._bucket.delete(key)

    def check(self) -> None:
        """See whether the database answers and this machine's disk takes a file.

        Raises:
            UnavailableError: it does not.
        """
        check(self._database)
        self._spool.create(self._put).abort()

    def listing(self) -> Iterator[tuple[str, float]]:
        """Yield the key of each bundle and the time it came, in seconds since 1970.

        Raises:
            UnavailableError: the database does not answer.
        """
        with _translated():
            for file in self._bucket.find():
                yield file._id, file.upload_date.timestamp()  # noqa: SLF001 (pymongo's own name for it)

    def abandoned(self, older_than: float) -> int:
        """Clear away what writers on this machine left that died more than `older_than` seconds ago.

        Raises:
            UnavailableError: the disk cannot be written.
        """
        return self._spool.clear(older_than)

    def _put(self, key: str, path: Path) -> None:
        with path.open("rb") as file, _translated():
            self._bucket.upload_from_stream_with_id(key, key, file)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except NoFile as error:
        raise missing() from error
    except (GridFSError, PyMongoError) as error:
        raise UnavailableError(
            "The bundle store cannot be used: its database does not answer.",
            code="store_unavailable",
            retry_after=RETRY_AFTER,
        ) from error
