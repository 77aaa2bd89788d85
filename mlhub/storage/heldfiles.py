"""Files that predictions have in the bundle store: each is held by one prediction, as long as that is kept.

The hold ends by itself with the time of the prediction: whatever dies in between, no file stays for ever.
Files are never shared with others of the same content: they come and go too often.
"""

import hashlib
from datetime import datetime
from typing import BinaryIO

from mlhub.common.errors import NotFoundError, UnavailableError
from mlhub.storage.bundles import BundleStore, BundleWriter
from mlhub.storage.shelf import HOLD, BundleShelf, Held


class HeldFiles:
    """Keeps, reads and drops them."""

    def __init__(self, shelf: BundleShelf, bundles: BundleStore) -> None:
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

    def read(self, key: str, sha256: str) -> bytes:
        """Return a file's bytes.

        Raises:
            UnavailableError: the store does not answer, or has something else than was written.
        """
        with self.open(key) as file:
            content = file.read()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise UnavailableError("The bundle store has damaged a file.", code="bundle_damaged")
        return content

    def drop(self, key: str, holder: str) -> None:
        """Drop a file."""
        self._shelf.collect(key, holder)
