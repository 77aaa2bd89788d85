"""A file on its way into a store: hashed while it is written, handed on when it is whole."""

import contextlib
import fcntl
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mlhub.common.archive import HEAD
from mlhub.storage.bundles import StoredBundle
from mlhub.storage.disk import translated

Put = Callable[[str, Path], None]
"""Puts the file at a path into the store under a key, durably; the file may be gone afterwards."""


class IncomingFile:
    """A `BundleWriter` with a temporary file.

    It holds a lock on the file, which ends with the process: so others can tell the file of a dead writer
    from that of a slow one. Its methods may be called from several threads, since a client that goes away
    has `abort` called while a thread still writes.
    """

    def __init__(self, folder: Path, put: Put) -> None:
        """Begin the file.

        Args:
            folder: where it lies until it is whole.
            put: hands it on.

        Raises:
            UnavailableError: the folder takes no file.
        """
        self._put = put
        self._lock = threading.Lock()
        self._hash = hashlib.sha256()
        self._size = 0
        self._head = b""
        with translated():
            folder.mkdir(exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=folder)
            # Unbuffered: what cannot be written fails in `write`, and closing has nothing left to fail on.
            self._file = os.fdopen(descriptor, "wb", buffering=0)
            self._path = Path(name)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, chunk: bytes) -> None:
        """Add bytes.

        Raises:
            UnavailableError: the disk takes no more.
            ValueError: the file was committed or given up.
        """
        with self._lock, translated():
            try:
                self._write(memoryview(chunk))
            except OSError:
                # Part of the chunk may be in the file; and a full disk needs the room.
                self._discard()
                raise
            self._hash.update(chunk)
            self._size += len(chunk)
            if len(self._head) < HEAD:
                self._head += chunk[: HEAD - len(self._head)]

    def seal(self) -> StoredBundle:
        """Say what was written.

        Raises:
            ValueError: the file was committed or given up.
        """
        with self._lock:
            self._file.fileno()
            return StoredBundle(self._hash.hexdigest(), self._size, self._head)

    def commit(self, key: str) -> None:
        """Hand the file on to the store under `key`.

        Raises:
            UnavailableError: the store cannot take it.
            ValueError: the file was committed or given up.
        """
        with self._lock, translated():
            self._file.fileno()
            self._put(key, self._path)
            self._discard()

    def abort(self) -> None:
        """Remove the file unless it was committed; a second time does nothing.

        Raises:
            UnavailableError: it cannot be removed.
        """
        with self._lock, translated():
            if not self._file.closed:
                self._discard()

    def _write(self, rest: memoryview) -> None:
        while rest:
            rest = rest[self._file.write(rest) :]

    def _discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def clear(folder: Path, older_than: float) -> int:
    """Remove the temporary files that dead writers left more than `older_than` seconds ago; return how many.

    Raises:
        UnavailableError: the folder cannot be written.
    """
    count = 0
    limit = time.time() - older_than
    with translated():
        for path in folder.glob("*"):
            # Another process may be faster.
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime <= limit and not _is_held(path):
                    path.unlink()
                    count += 1
    return count


def _is_held(path: Path) -> bool:
    """Tell whether a writer that lives holds the temporary file."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def sync(path: Path) -> None:
    """Have a file's bytes, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
