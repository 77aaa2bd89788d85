"""What a bundle store can do: keep archives by their content."""

from collections.abc import Iterator
from typing import BinaryIO, Protocol

import msgspec


class StoredBundle(msgspec.Struct, frozen=True):
    """A bundle that is in the store as a whole."""

    sha256: str
    """SHA-256 of its bytes, in hexadecimal; its key."""
    size: int
    """Bytes."""
    head: bytes
    """Its first bytes, enough for `mlhub.common.archive.archive_kind`."""


class BundleWriter(Protocol):
    """A bundle on its way into the store; its methods may be called from any thread."""

    def write(self, chunk: bytes) -> None:
        """Add bytes.

        Raises:
            UnavailableError: the store takes no more.
        """

    def commit(self) -> StoredBundle:
        """Put the bundle into the store, durably.

        Raises:
            UnavailableError: the store cannot.
        """
        ...

    def abort(self) -> None:
        """Leave nothing behind; means nothing after `commit`, or the second time."""


class BundleStore(Protocol):
    """Archives by the SHA-256 of their bytes."""

    def create(self) -> BundleWriter:
        """Begin to take a bundle in.

        Raises:
            UnavailableError: the store cannot.
        """
        ...

    def open(self, sha256: str) -> BinaryIO:
        """Open a bundle for reading.

        Raises:
            NotFoundError: it is not there.
        """
        ...

    def exists(self, sha256: str) -> bool:
        """Tell whether a bundle is there."""
        ...

    def size(self, sha256: str) -> int:
        """Return a bundle's size in bytes.

        Raises:
            NotFoundError: it is not there.
        """
        ...

    def delete(self, sha256: str) -> None:
        """Drop a bundle; one that is not there is fine."""

    def check(self) -> None:
        """See whether the store can take bundles.

        Raises:
            UnavailableError: it cannot, and why.
        """

    def digests(self) -> Iterator[tuple[str, float]]:
        """Yield the key of each bundle and the time it came, in seconds since 1970."""
        ...

    def abandoned(self, older_than: float) -> int:
        """Clear away what writers that died left more than `older_than` seconds ago; return how many."""
        ...
