"""The form of an exported model: a tar with a manifest, and then the bundle of each version it names.

Headers are those of POSIX tar, so that any tar can look into an export.
"""

import tarfile
from typing import Any, Final

import msgspec

from mlhub.common.errors import MalformedError, UnacceptableError

FORMAT: Final = "mlhub-export/1"
MANIFEST: Final = "mlhub-export.json"
MEDIA_TYPE: Final = "application/vnd.mlhub.export+tar"
BLOCK: Final = tarfile.BLOCKSIZE
"""Bytes of a header, and what lengths of files are rounded up to."""
END: Final = bytes(2 * BLOCK)
"""How a tar ends."""


class ExportedVersion(msgspec.Struct, frozen=True):
    """One version, in the order of uploads."""

    version: str
    sha256: str
    """Of its bundle."""
    size: int
    """Bytes of its bundle."""
    filename: str = ""
    """What its bundle was called; for readers."""

    @property
    def member(self) -> str:
        """Name of the file in the tar."""
        return f"{self.sha256}.bundle"


class Manifest(msgspec.Struct, frozen=True):
    """What an export holds."""

    format: str
    """`FORMAT`."""
    model: str
    """Name of the model."""
    fields: dict[str, Any]
    """The entry's fields, as a client sets them."""
    pinned: str | None = None
    """The version that its owner set as the latest."""
    versions: tuple[ExportedVersion, ...] = ()
    """As they follow in the tar, one file each."""


_DECODER: Final = msgspec.json.Decoder(Manifest)


def read_manifest(data: bytes) -> Manifest:
    """Decode a manifest.

    Raises:
        UnacceptableError: it is none, or one of a later form.
    """
    try:
        manifest = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnacceptableError(
            "The export's manifest cannot be read; export the model anew.", code="bad_export"
        ) from error
    if manifest.format != FORMAT:
        raise UnacceptableError(
            f"The export is of the form {manifest.format!r}, and this hub reads {FORMAT}.", code="bad_export"
        )
    return manifest


def header(name: str, size: int) -> bytes:
    """Return the tar header of a file."""
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    return member.tobuf(tarfile.GNU_FORMAT)


def padding(size: int) -> int:
    """Return the zero bytes that follow a file of `size` bytes."""
    return -size % BLOCK


def read_header(block: bytes) -> tuple[str, int] | None:
    """Return name and size of the file that follows; nothing at the end of the tar.

    Raises:
        MalformedError: it is no header of an export.
    """
    if not any(block):
        return None
    try:
        member = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise not_an_export() from error
    if not member.isreg() or member.size < 0:
        raise not_an_export()
    return member.name, member.size


def not_an_export() -> MalformedError:
    """Make the error for what is something else."""
    return MalformedError(
        "The body is no export of a model; send what 'mlhub export' gave.", code="bad_export"
    )
