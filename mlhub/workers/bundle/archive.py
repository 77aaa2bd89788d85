"""Unpacks archives that nobody has reason to trust.

What a header says is never enough to accept a member, only to refuse it: names are checked before anything
is written, and bytes are counted while they are. What is refused leaves the target folder empty.
"""

import errno
import gzip
import io
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from mlhub.common.archive import GZIP, HEAD, TAR, ZIP, ArchiveKind, archive_kind
from mlhub.common.errors import UnacceptableError, UnavailableError
from mlhub.workers.bundle.member import Member, refused, safe_path
from mlhub.workers.bundle.tarball import gzip_members, tar_members
from mlhub.workers.bundle.zipped import zip_members

_PIECE: Final = 1024 * 1024
_HARMLESS: Final = 64 * 1024 * 1024
"""Bytes that anything may unpack to, however well it was packed."""
_DUPLICATE: Final = (FileExistsError, NotADirectoryError, IsADirectoryError)
"""What writing raises when a member's place is taken by another."""
_BROKEN: Final = (
    ArithmeticError,
    EOFError,
    NotImplementedError,
    ValueError,
    gzip.BadGzipFile,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the libraries raise when an archive is not what its headers say."""

_READERS: Final[dict[ArchiveKind, Callable[[BinaryIO, int], Iterator[Member]]]] = {
    TAR: tar_members,
    GZIP: gzip_members,
    ZIP: zip_members,
}
"""What reads each kind of archive, given the most members it may have."""


class UnpackLimits(msgspec.Struct, frozen=True):
    """How much a bundle may unpack to."""

    max_bytes: int
    """Bytes of all files together."""
    max_files: int
    """Files and folders."""
    max_ratio: int
    """Times the archive's own size, beyond a size that is harmless anyway."""


def _no_limit() -> None:
    pass


def unpack(
    source: BinaryIO, target: Path, limits: UnpackLimits, check: Callable[[], None] = _no_limit
) -> None:
    """Unpack a tar, tar.gz or zip, with flat memory.

    Args:
        source: the archive; it must be seekable.
        target: an existing, empty folder.
        limits: how much it may unpack to.
        check: called between pieces of work; what it raises ends the unpacking.

    Raises:
        UnacceptableError: it is no archive, broken, or holds what no bundle may; `target` is empty then.
        UnavailableError: this machine's disk cannot take it; `target` is empty then.
    """
    try:
        with _translated():
            _unpack(source, target, limits, check)
    except BaseException:
        _clear(target)
        raise


def _unpack(source: BinaryIO, target: Path, limits: UnpackLimits, check: Callable[[], None]) -> None:
    size = source.seek(0, io.SEEK_END)
    source.seek(0)
    kind = archive_kind(source.read(HEAD))
    source.seek(0)
    if kind is None:
        raise UnacceptableError(
            "The bundle is no archive; pack the model's files into a tar, tar.gz or zip.",
            code="not_an_archive",
        )
    allowed = min(limits.max_bytes, max(size * limits.max_ratio, _HARMLESS))
    written = 0
    for count, member in enumerate(_READERS[kind](source, limits.max_files), 1):
        if count > limits.max_files:
            raise UnacceptableError(
                f"The bundle holds more than {limits.max_files} files; leave out what is not needed.",
                code="too_many_files",
            )
        check()
        path = safe_path(member)
        try:
            written += _write(member, target / path, allowed - written, check)
        except _DUPLICATE:
            raise refused(
                member.name, "is there twice; pack it again with each name once", "duplicate_member"
            ) from None
        if written > allowed:
            raise refused(
                member.name,
                f"makes it unpack to more than the {allowed} bytes that a bundle of its size may have",
                "unpacks_too_large",
            )


def _write(member: Member, path: Path, room: int, check: Callable[[], None]) -> int:
    """Write one member and return its bytes; what is larger than `room` is not written to its end."""
    if member.content is None:
        path.mkdir(parents=True, exist_ok=True)
        return 0
    if member.size > room:
        return member.size
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with path.open("xb") as file:
        while written <= room and (piece := member.content.read(_PIECE)):
            file.write(piece)
            written += len(piece)
            check()
    return written


@contextmanager
def _translated() -> Iterator[None]:
    """Turn errors of the libraries and of the operating system into MLHub's."""
    try:
        yield
    except _BROKEN as error:
        raise _broken() from error
    except OSError as error:
        if error.errno == errno.EINVAL:
            # A header led a library to seek where no file has a place.
            raise _broken() from error
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "its disk is full" if full else f"the operating system says: {error.strerror}"
        raise UnavailableError(
            f"The hub cannot unpack the bundle now: {why}.", code="unpacking_unavailable", retry_after=30
        ) from error


def _broken() -> UnacceptableError:
    return UnacceptableError(
        "The bundle is broken or cut off and cannot be unpacked to its end; make it and upload it again.",
        code="broken_archive",
    )


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
