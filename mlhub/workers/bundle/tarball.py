"""Reads the members of a tar, gzipped or not, one after the other."""

import gzip
import tarfile
from collections.abc import Iterator
from typing import IO, BinaryIO, Final, Self, cast

from mlhub.common.archive import HEAD, TAR, archive_kind
from mlhub.common.errors import UnacceptableError
from mlhub.workers.bundle.member import Member, refused
from mlhub.workers.bundle.metered import MeteredFile

_HEADERS: Final = 64 * 1024
"""Bytes that the headers of one member may have; more than any long name and its attributes need."""
_PADDING: Final = 16 * 1024 * 1024
"""Bytes that may follow the end of a tar."""
_PIECE: Final = 64 * 1024


def gzip_members(source: BinaryIO, max_members: int) -> Iterator[Member]:
    """Yield the members of a gzipped tar; see `tar_members`.

    Raises:
        UnacceptableError: it holds something else than a tar.
    """
    with gzip.GzipFile(fileobj=source) as unzipped:
        if archive_kind(unzipped.read(HEAD)) is not TAR:
            raise UnacceptableError(
                "The bundle is a gzip file with no tar in it; pack the files with 'tar czf bundle.tar.gz …'.",
                code="not_an_archive",
            )
        unzipped.seek(0)
        plain = cast("BinaryIO", unzipped)
        yield from tar_members(plain, max_members)
        _read_out(plain)


def tar_members(source: BinaryIO, max_members: int) -> Iterator[Member]:
    """Yield the members of a tar. Each one's content must be read before the next is asked for.

    Raises:
        UnacceptableError: one is neither file nor folder, or has endless headers.
        tarfile.TarError: the tar is broken, or ends before its end mark.
    """
    del max_members
    metered = MeteredFile(source, _HEADERS)
    stream = cast("IO[bytes]", metered)
    # In streaming mode each header is read once, and nothing is ever sought.
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Entry) as archive:
        # Opening has read the first header already.
        while (entry := archive.next()) is not None:
            metered.allowance = None
            yield _member(archive, entry)
            metered.allowance = _HEADERS


class _Entry(tarfile.TarInfo):
    """A header that is either good, or the end mark, or an error; tarfile takes any bad one for the end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        # The one way in for headers in every patch release of Python; `frombuf` is passed by in some.
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the stubs lack it
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError("A header is broken or missing.") from error


def _member(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> Member:
    if entry.size < 0:
        raise tarfile.ReadError("A size is negative.")
    if entry.isdir():
        return Member(entry.name)
    if entry.issparse():
        raise refused(entry.name, "is packed as a sparse file; pack it without '--sparse'", "unsafe_member")
    if entry.isreg():
        return Member(entry.name, entry.size, archive.extractfile(entry))
    if entry.issym() or entry.islnk():
        raise refused(
            entry.name, "is a link; pack the file itself, with 'tar --dereference'", "unsafe_member"
        )
    raise refused(
        entry.name, "is a device, and bundles hold files and folders only; leave it out", "unsafe_member"
    )


def _read_out(source: BinaryIO) -> None:
    """Read what follows the tar: only at its end does gzip tell whether all of it was right."""
    for _ in range(_PADDING // _PIECE):
        if not source.read(_PIECE):
            return
    raise tarfile.ReadError("The file goes on after the end of the tar.")
