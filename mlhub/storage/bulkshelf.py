"""The files of bulk predictions: each input as it came, and each part of an output."""

from typing import BinaryIO

from mlhub.common.bulk import Bulk
from mlhub.common.errors import UnavailableError
from mlhub.common.prediction import PredictionStatus
from mlhub.storage.bulks import BulkStore
from mlhub.storage.bundles import BundleStore
from mlhub.storage.database import now
from mlhub.storage.heldfiles import HeldFiles
from mlhub.storage.shelf import HOLD, BundleShelf


class BulkShelf(HeldFiles):
    """Keeps and drops the files together with what is written of them."""

    def __init__(self, bulks: BulkStore, shelf: BundleShelf, bundles: BundleStore) -> None:
        super().__init__(shelf, bundles)
        self._bulks = bulks

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
