"""One entry of an archive, and which names it may have."""

from pathlib import PurePosixPath
from typing import IO, Final

import msgspec

from mlhub.common.errors import UnacceptableError

_LONGEST: Final = 200
"""Bytes one part of a path may have; file systems allow a few more."""
_DEEPEST: Final = 16
"""Folders within folders."""
_SHOWN: Final = 100
"""Characters of a name that a sentence repeats."""


class Member(msgspec.Struct, frozen=True):
    """One file or folder of an archive."""

    name: str
    """As the archive has it, bytes that are not UTF-8 as lone surrogates."""
    size: int = 0
    """Bytes the archive says the file has."""
    content: IO[bytes] | None = None
    """What the file holds, to be read before the next member is asked for; nothing for a folder."""


def safe_path(member: Member) -> PurePosixPath:
    """Return where the member belongs, relative to the target.

    Raises:
        UnacceptableError: its name leads elsewhere, or means different things to different systems.
    """
    name = member.name
    path = PurePosixPath(name)
    if path.is_absolute():
        raise refused(name, "has an absolute path; pack the files with relative ones", "unsafe_member")
    if ".." in path.parts:
        raise refused(name, "leads out of the bundle by '..'; pack the files without it", "unsafe_member")
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise refused(name, "has a name that is not UTF-8; rename the file", "unsafe_member")
    if "\\" in name or not name.isprintable():
        raise refused(
            name, "has a character in its name that no file of a bundle may have; rename it", "unsafe_member"
        )
    if len(path.parts) > _DEEPEST or any(len(part.encode()) > _LONGEST for part in path.parts):
        raise refused(name, "has too long a name or lies in too many folders; shorten it", "unsafe_member")
    if member.content is not None and not path.parts:
        raise refused(name, "is a file without a name", "unsafe_member")
    return path


def refused(name: str, why: str, code: str) -> UnacceptableError:
    """Make the error for a member that no bundle may have."""
    shown = name.encode("unicode_escape").decode()
    if len(shown) > _SHOWN:
        shown = f"{shown[:_SHOWN]}…"
    return UnacceptableError(f"The bundle cannot be taken: '{shown}' {why}.", code=code)
