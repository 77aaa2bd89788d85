"""Kinds of archive a bundle may be, told by their first bytes."""

from typing import Final

import msgspec

HEAD: Final = 512
"""Bytes that are enough to tell."""


class ArchiveKind(msgspec.Struct, frozen=True):
    """One kind of archive."""

    name: str
    suffix: str
    """How names of its files end."""


TAR: Final = ArchiveKind("tar", ".tar")
GZIP: Final = ArchiveKind("gzip", ".tar.gz")
ZIP: Final = ArchiveKind("zip", ".zip")

_MAGIC: Final = ((0, b"\x1f\x8b", GZIP), (0, b"PK\x03\x04", ZIP), (257, b"ustar", TAR))
"""Offset, bytes, kind."""


def archive_kind(head: bytes) -> ArchiveKind | None:
    """Tell the kind of archive that begins with `head`, its first `HEAD` bytes; nothing when it is none."""
    for offset, magic, kind in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return kind
    return None
