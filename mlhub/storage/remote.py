"""What stores on other machines share: a local file on the way in, and translated errors on the way out."""

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, Final

from mlhub.storage.incoming import IncomingFile, Put, clear

_BUFFER: Final = 1024 * 1024


class Spool:
    """A folder on this machine where uploads gather before they go to the store in one go.

    So nothing of an upload that breaks off ever reaches the store, and the SHA-256, which is part of the
    name, is known before the first byte does.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, put: Put) -> IncomingFile:
        """Begin a file that `put` hands on."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        return IncomingFile(self._folder, put)

    def clear(self, older_than: float) -> int:
        """Remove what dead writers left more than `older_than` seconds ago; return how many files."""
        return clear(self._folder, older_than)


class RemoteFile(io.RawIOBase):
    """A file in a remote store, whose errors are MLHub's whenever it is read."""

    def __init__(self, file: Any, translated: Callable[[], AbstractContextManager[None]]) -> None:
        self._file = file
        self._translated = translated

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes, as many as come at once."""
        with self._translated():
            piece: bytes = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        with self._translated():
            self._file.seek(offset, whence)
            return int(self._file.tell())

    def tell(self) -> int:
        """Return the place."""
        return int(self._file.tell())

    def close(self) -> None:
        """Let go of it."""
        if not self.closed:
            self._file.close()
        super().close()


def buffered(file: Any, translated: Callable[[], AbstractContextManager[None]]) -> BinaryIO:
    """Make a file as `open` gives it of one in a remote store."""
    return io.BufferedReader(RemoteFile(file, translated), _BUFFER)
