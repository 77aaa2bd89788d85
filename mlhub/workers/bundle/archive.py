"""Unpacks archives that nobody has reason to trust.

Nothing a header says is believed: bytes are counted as they are written, and every name is checked
before anything of its member is. What is refused leaves the target folder empty.
"""

import io
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Final

import msgspec

from mlhub.common.archive import GZIP, HEAD, ZIP, archive_kind
from mlhub.common.errors import UnacceptableError

_PIECE: Final = 1024 * 1024
_LONGEST_NAME: Final = 200
"""Bytes one part of a path may have; file systems allow a few more."""
_DEEPEST: Final = 16
"""Folders within folders."""
_FREE_RATIO: Final = 64 * 1024 * 1024
"""Bytes that anything may unpack to, however well it was packed."""


class UnpackLimits(msgspec.Struct, frozen=True):
    """How much a bundle may unpack to."""

    max_bytes: int
    """Bytes of all files together."""
    max_files: int
    """Files and folders."""
    max_ratio: int
    """Times the archive's own size, beyond a size that is harmless anyway."""


class _Member(msgspec.Struct, frozen=True):
    """One entry of an archive."""

    name: str
    content: IO[bytes] | None
    """What the file holds; nothing for a folder."""


def unpack(source: BinaryIO, target: Path, limits: UnpackLimits) -> None:
    """Unpack a tar, tar.gz or zip into an existing, empty folder.

    Raises:
        UnacceptableError: it is no archive, broken, or holds what no bundle may; `target` is empty then.
    """
    try:
        _unpack(source, target, limits)
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,
    ) as error:
        _clear(target)
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UnacceptableError(
            "The bundle is broken and cannot be unpacked to its end; make it again and upload it again.",
            code="broken_archive",
        ) from error
    except UnacceptableError:
        _clear(target)
        raise


def _unpack(source: BinaryIO, target: Path, limits: UnpackLimits) -> None:
    size = source.seek(0, io.SEEK_END)
    source.seek(0)
    kind = archive_kind(source.read(HEAD))
    source.seek(0)
    if kind is None:
        raise UnacceptableError("The bundle is no tar, tar.gz or zip.", code="not_an_archive")
    members = _zip_members(source) if kind is ZIP else _tar_members(source, compressed=kind is GZIP)
    allowed = min(limits.max_bytes, max(size * limits.max_ratio, _FREE_RATIO))
    seen: set[PurePosixPath] = set()
    written = 0
    for count, member in enumerate(members, 1):
        if count > limits.max_files:
            raise UnacceptableError(
                f"The bundle holds more than {limits.max_files} files; leave out what it does not need.",
                code="too_many_files",
            )
        path = _safe(member.name)
        if path == PurePosixPath():
            continue
        place = target / path
        if member.content is None:
            place.mkdir(parents=True, exist_ok=True)
            continue
        if path in seen:
            raise _refused(member.name, "is in the bundle twice", "duplicate_member")
        seen.add(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as file:
            while piece := member.content.read(_PIECE):
                written += len(piece)
                if written > allowed:
                    raise UnacceptableError(
                        f"The bundle unpacks to more than {allowed} bytes, which no bundle of its size may.",
                        code="unpacks_too_large",
                    )
                file.write(piece)


def _tar_members(source: BinaryIO, *, compressed: bool) -> Iterator[_Member]:
    # Streaming mode reads each header once and never seeks, so a lying header costs nothing.
    with tarfile.open(fileobj=source, mode="r|gz" if compressed else "r|", errors="strict") as archive:
        for member in archive:
            if member.isdir():
                yield _Member(member.name, None)
            elif member.isreg():
                yield _Member(member.name, archive.extractfile(member))
            else:
                what = "a link" if member.issym() or member.islnk() else "a device"
                raise _refused(
                    member.name, f"is {what}, and bundles hold files and folders only", "unsafe_member"
                )


def _zip_members(source: BinaryIO) -> Iterator[_Member]:
    with zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            mode = member.external_attr >> 16
            if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_IFMT(mode) == 0):
                raise _refused(member.filename, "is a link or a device", "unsafe_member")
            if member.flag_bits & 1:
                raise _refused(member.filename, "is encrypted", "encrypted_member")
            if member.is_dir():
                yield _Member(member.filename, None)
            else:
                with archive.open(member) as content:
                    yield _Member(member.filename, content)


def _safe(name: str) -> PurePosixPath:
    """Return the member's path below the target.

    Raises:
        UnacceptableError: it would lead elsewhere, or means different things to different systems.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise _refused(name, "leads out of the bundle", "unsafe_member")
    if any(character in name for character in "\\\0") or not name.isprintable():
        raise _refused(name, "has characters that no file of a bundle may have", "unsafe_member")
    if len(path.parts) > _DEEPEST or any(len(part.encode()) > _LONGEST_NAME for part in path.parts):
        raise _refused(name, "has too long a name", "unsafe_member")
    return path


def _refused(name: str, why: str, code: str) -> UnacceptableError:
    shown = name.encode("unicode_escape", "backslashreplace").decode()[:_LONGEST_NAME]
    return UnacceptableError(f"The bundle cannot be taken: '{shown}' {why}.", code=code)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
