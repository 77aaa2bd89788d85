"""Uploads that were begun, remembered on this machine, so that a later run goes on with them."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

_PRIVATE: Final = 0o700
"""Who knows an upload's address may go on with it."""


class BegunUpload:
    """Where the address of one upload is kept: of this file as it is now, to this version on this hub."""

    def __init__(self, url: str, name: str, version: str | None, file: BinaryIO) -> None:
        """Prepare; a file that has no name, as a pipe has none, is not remembered."""
        self._path = None
        path = getattr(file, "name", None)
        if isinstance(path, str | os.PathLike):
            # What cannot be looked at is sent anew at the worst.
            with suppress(OSError):
                place, stat = Path(path).resolve(), os.fstat(file.fileno())
                parts = (url, name, version, str(place), stat.st_size, stat.st_mtime_ns, stat.st_ino)
                self._path = _folder() / hashlib.sha256(repr(parts).encode()).hexdigest()

    def address(self) -> str | None:
        """Return the upload's address, if an earlier run began it."""
        if self._path is None:
            return None
        with suppress(OSError):
            return self._path.read_text(encoding="ascii") or None
        return None

    def keep(self, address: str) -> None:
        """Remember the address."""
        if self._path is not None:
            with suppress(OSError):
                self._path.parent.mkdir(_PRIVATE, parents=True, exist_ok=True)
                self._path.write_text(address, encoding="ascii")

    def forget(self) -> None:
        """Forget it: the upload is complete, or there is nothing to go on with."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def _folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "mlhub" / "uploads"
