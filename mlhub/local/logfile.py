"""The log of a program: what it writes to its standard output and error, in files of bounded size."""

from pathlib import Path
from typing import Any, Final

_SIZE: Final = 10 * 1024 * 1024
"""Bytes after which a new file is begun."""
_KEPT: Final = 3
"""Older files that are kept, as `<name>.log.1` and so on."""


class LogFile:
    """A stream in the sense of circus; one object takes both outputs of a program.

    circus has a class of its own for that, but two of those on one file get in each other's way when a
    new file is begun, and it takes what it reads for whole characters.
    """

    def __init__(self, path: Path, size: int = _SIZE) -> None:
        self._path = path
        self._size = size
        self._file = path.open("ab", buffering=0)

    def __call__(self, piece: dict[str, Any]) -> None:
        """Write a piece of output, which may begin and end anywhere."""
        data: bytes = piece["data"]
        if self._file.tell() and self._file.tell() + len(data) > self._size:
            self._file.close()
            rotate(self._path)
            self.open()
        self._file.write(data)

    def open(self) -> None:
        """Go on writing, also after `close`."""
        if self._file.closed:
            self._file = self._path.open("ab", buffering=0)

    def close(self) -> None:
        """Stop writing for now."""
        self._file.close()


def rotate(path: Path) -> None:
    """Give a log file and its older ones the next higher number; the oldest is dropped."""
    for number in range(_KEPT, 0, -1):
        older = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number}"))
