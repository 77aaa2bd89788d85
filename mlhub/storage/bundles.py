"""What a bundle store can do: keep archives under names that are used once."""

import re
import secrets
from collections.abc import Iterator
from typing import BinaryIO, Final, Protocol

import msgspec

from mlhub.common.errors import NotFoundError

_KEY: Final = re.compile(r"[0-9a-f]{64}(\.[0-9a-f]{16})?")


class StoredBundle(msgspec.Struct, frozen=True):
    """What a writer took in."""

    sha256: str
    """SHA-256 of its bytes, in hexadecimal."""
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
            ValueError: the writer has ended.
        """

    def seal(self) -> StoredBundle:
        """End writing and say what was written; nobody can read it yet.

        Raises:
            ValueError: the writer has ended.
        """
        ...

    def commit(self, key: str) -> None:
        """Put the bundle into the store under `key`, durably and whole or not at all.

        Raises:
            UnavailableError: the store cannot.
            ValueError: the writer has ended.
        """
        ...

    def abort(self) -> None:
        """Leave nothing behind; means nothing after `commit`, or the second time."""


class BundleStore(Protocol):
    """Archives by keys, which `new_key` makes; `mlhub.storage.copies` says why a key is used once."""

    def create(self) -> BundleWriter:
        """Begin to take a bundle in.

        Raises:
            UnavailableError: the store cannot.
        """
        ...

    def open(self, key: str) -> BinaryIO:
        """Open a bundle for reading, from anywhere in it.

        Raises:
            NotFoundError: it is not there.
            UnavailableError: the store does not answer.
        """
        ...

    def size(self, key: str) -> int:
        """Return a bundle's size in bytes.

        Raises:
            NotFoundError: it is not there.
            UnavailableError: the store does not answer.
        """
        ...

    def delete(self, key: str) -> None:
        """Drop a bundle, or what is left of one that never became whole; one that is not there is fine.

        Raises:
            UnavailableError: the store does not answer.
        """

    def check(self) -> None:
        """See whether the store can take bundles.

        Raises:
            UnavailableError: it cannot, and why.
        """

    def listing(self) -> Iterator[tuple[str, float]]:
        """Yield the key of each bundle and the time it came, in seconds since 1970.

        Raises:
            UnavailableError: the store does not answer.
        """
        ...

    def abandoned(self, older_than: float) -> int:
        """Clear away what writers that died left more than `older_than` seconds ago; return how many.

        Raises:
            UnavailableError: the store does not answer.
        """
        ...


def new_key(sha256: str) -> str:
    """Make a key for a bundle with this SHA-256, which nothing had before."""
    return f"{sha256}.{secrets.token_hex(8)}"


def is_key(text: str) -> bool:
    """Tell whether `text` may name a bundle; plain digests are keys of hubs before 0.2."""
    return _KEY.fullmatch(text) is not None


def missing() -> NotFoundError:
    """Say that a bundle is not there."""
    return NotFoundError("The bundle is not in the store.", code="bundle_not_found")


def require_key(text: str) -> None:
    """Take what can be no key for one of a bundle that is not there.

    Raises:
        NotFoundError: it can be none.
    """
    if not is_key(text):
        raise missing()
