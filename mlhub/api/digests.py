"""Digests that a client sends along with its bytes: RFC 9530's, and the older `Digest` header (RFC 3230)."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterator
from typing import Final

from mlhub.common.errors import MalformedError

_HEADERS: Final = ("Content-Digest", "Repr-Digest", "Digest")
_ALGORITHMS: Final = {"sha-256": "sha256", "sha-512": "sha512"}
"""Those that are checked, with Python's names; others are weak, and may be ignored (RFC 9530, section 2)."""


class Digests:
    """Hashes what arrives, in the algorithms that the client announced, and compares in the end."""

    def __init__(self, header: Callable[[str], str | None]) -> None:
        """Read what is announced.

        Args:
            header: gives a header by name.

        Raises:
            MalformedError: a digest is none.
        """
        self._expected = [item for name in _HEADERS for item in _announced(name, header(name))]
        self._hashes = {name: hashlib.new(_ALGORITHMS[name]) for name, _ in self._expected}

    def __bool__(self) -> bool:
        """Tell whether there is anything to check."""
        return bool(self._expected)

    def update(self, chunk: bytes) -> None:
        """Take in the next bytes."""
        for running in self._hashes.values():
            running.update(chunk)

    def match(self) -> bool:
        """Tell whether all bytes together are what was announced."""
        return all(self._hashes[name].digest() == value for name, value in self._expected)


def mismatch() -> MalformedError:
    """Say that something else arrived than was announced."""
    return MalformedError(
        "The body is not what its digest says: it changed on the way, or the digest is of something else. "
        "Nothing was kept; send it again.",
        code="digest_mismatch",
    )


def _announced(header: str, text: str | None) -> Iterator[tuple[str, bytes]]:
    for item in (text or "").split(","):
        name, _, value = item.strip().partition("=")
        algorithm = name.strip().lower()
        if algorithm in _ALGORITHMS:
            yield algorithm, _decoded(header, algorithm, value)


def _decoded(header: str, algorithm: str, text: str) -> bytes:
    encoded = text.partition(";")[0].strip()
    if header != "Digest":
        if len(encoded) < 2 or encoded[0] != ":" or encoded[-1] != ":":  # noqa: PLR2004 (both colons)
            raise _unreadable(header, algorithm)
        encoded = encoded[1:-1]
    try:
        value = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise _unreadable(header, algorithm) from None
    if len(value) != hashlib.new(_ALGORITHMS[algorithm]).digest_size:
        raise _unreadable(header, algorithm)
    return value


def _unreadable(header: str, algorithm: str) -> MalformedError:
    form = f"{algorithm}=…" if header == "Digest" else f"{algorithm}=:…:"
    return MalformedError(
        f"The header {header} cannot be read: it takes '{form}' in base64.",
        code="bad_digest",
    )
