"""Reads the members of a zip, one after the other."""

import stat
import zipfile
from collections.abc import Iterator
from typing import IO, BinaryIO, Final, cast

from mlhub.workers.bundle.member import Member, refused
from mlhub.workers.bundle.metered import MeteredFile

_END: Final = 128 * 1024
"""Bytes in which the end of a zip is looked for, comment and all."""
_ENTRY: Final = 512
"""Bytes that one member takes in the list of files, its name and attributes included, on average."""
_ENCRYPTED: Final = 0x1
"""The flag of a member that needs a password."""
_COMPRESSIONS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Compressions that zipfile unpacks in pieces of bounded size; others may fill the memory at once."""
_KINDS: Final = (0, stat.S_IFREG, stat.S_IFDIR)
"""Kinds of Unix file that are taken; 0 is what other systems say."""


def zip_members(source: BinaryIO, max_members: int) -> Iterator[Member]:
    """Yield the members of a zip. Each one's content must be read before the next is asked for.

    Raises:
        UnacceptableError: one is neither file nor folder, is encrypted, or packed in an unusual way.
        zipfile.BadZipFile: the zip is broken.
    """
    metered = MeteredFile(source, _END + max_members * _ENTRY)
    try:
        archive = zipfile.ZipFile(cast("IO[bytes]", metered), metadata_encoding="utf-8")
    except UnicodeDecodeError as error:
        name = error.object.decode("utf-8", "surrogateescape")
        raise refused(name, "has a name that is not UTF-8; rename the file", "unsafe_member") from error
    metered.allowance = None
    with archive:
        for info in archive.infolist():
            _check(info)
            # `filename` ends at the first NUL; the whole name must be fit.
            if info.orig_filename.endswith("/"):
                yield Member(info.orig_filename)
            else:
                with archive.open(info) as content:
                    yield Member(info.orig_filename, info.file_size, content)


def _check(info: zipfile.ZipInfo) -> None:
    name = info.orig_filename
    if info.flag_bits & _ENCRYPTED:
        raise refused(name, "is encrypted; pack it without a password", "encrypted_member")
    if stat.S_IFMT(info.external_attr >> 16) not in _KINDS:
        raise refused(name, "is a link or a device, and bundles hold files and folders only", "unsafe_member")
    if info.compress_type not in _COMPRESSIONS:
        raise refused(name, "is compressed in an unusual way; pack it with 'deflate'", "unsafe_member")
