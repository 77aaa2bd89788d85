"""The files of bulk predictions, in the bundle store: each input as it came, and each part of an output.

A file is held by its bulk as long as that is kept, and the hold ends by itself then: whatever dies in
between, no file stays for ever. Files are never shared with others of the same content: they come and go too
often.
"""

import hashlib
from datetime import datetime
from typing import BinaryIO

from mlhub.common.bulk import Bulk, Part
from mlhub.common.errors import NotFoundError, UnavailableError
from mlhub.common.prediction import PredictionStatus
from mlhub.storage.bulks import BulkStore
from mlhub.storage.bundles import BundleStore, BundleWriter
from mlhub.storage.database import now
from mlhub.storage.shelf import HOLD, BundleShelf, Held


class BulkShelf:
    """Keeps and drops the files together with what is written of them."""

    def __init__(self, bulks: BulkStore, shelf: BundleShelf, bundles: BundleStore) -> None:
        self._bulks = bulks
        self._shelf = shelf
        self._bundles = bundles

    def create(self) -> BundleWriter:
        """Begin a file.

        Raises:
            UnavailableError: the store takes none.
        """
        return self._shelf.create()

    def keep(self, writer: BundleWriter, until: datetime) -> Held:
        """Put a file into the store, until a time unless it is dropped before.

        Raises:
            UnavailableError: the store takes none, or the database does not answer.
        """
        return self._shelf.keep(writer, until=until + HOLD, share=False)

    def open(self, key: str) -> BinaryIO:
        """Open a file.

        Raises:
            UnavailableError: the store does not answer, or has lost it.
        """
        try:
            return self._bundles.open(key)
        except NotFoundError as error:
            raise UnavailableError(
                "The bundle store has lost a file of this prediction.", code="bundle_damaged"
            ) from error

    def read(self, part: Part) -> bytes:
        """Return a part's bytes.

        Raises:
            UnavailableError: the store does not answer, or has something else than was written.
        """
        with self.open(part.key) as file:
            content = file.read()
        if hashlib.sha256(content).hexdigest() != part.sha256:
            raise UnavailableError("The bundle store has damaged a file.", code="bundle_damaged")
        return content

    def drop(self, key: str, holder: str) -> None:
        """Drop a file."""
        self._shelf.collect(key, holder)

    def drop_parts(self, identity: str) -> None:
        """Drop all parts of a bulk."""
        for part in self._bulks.parts(identity):
            self.drop(part.key, part.holder)
            self._bulks.drop_part(identity, part)

    def close(self, bulk: Bulk, status: PredictionStatus) -> None:
        """Drop what a bulk that has ended does not need any more; again does no harm."""
        self.drop(bulk.key, bulk.holder)
        if status is not PredictionStatus.SUCCEEDED:
            self.drop_parts(bulk.id)
        self._bulks.close(bulk.id)

    def discard(self, bulk: Bulk) -> None:
        """Drop a bulk with all that there is of it."""
        self.drop(bulk.key, bulk.holder)
        self.drop_parts(bulk.id)
        self._bulks.discard(bulk.id)

    def sweep(self) -> None:
        """Drop bulks whose time is over, and those whose prediction is gone or never came to be."""
        for bulk in self._bulks.expired():
            self.discard(bulk)
        for bulk in self._bulks.unfinished():
            if bulk.created_at < now() - HOLD and self._bulks.status(bulk.id) is None:
                self.discard(bulk)


def read(file: BinaryIO, offset: int, size: int) -> bytes:
    """Return some bytes of a file.

    Raises:
        UnavailableError: it has less.
    """
    file.seek(offset)
    pieces = []
    left = size
    while left and (piece := file.read(left)):
        pieces.append(piece)
        left -= len(piece)
    if left:
        raise UnavailableError("The bundle store has lost a part of a file.", code="bundle_damaged")
    return b"".join(pieces)
