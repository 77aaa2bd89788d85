"""A file on its way to its final name: hashed while it is written, moved when it is whole and on the disk."""

import fcntl
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from mlhub.common.archive import HEAD
from mlhub.storage.bundles import StoredBundle


class IncomingFile:
    """A `BundleWriter` with a temporary file.

    It holds a lock on the file, which ends with the process: so others can tell the file of a dead writer
    from that of a slow one. Its methods may be called from several threads, since a client that goes away
    has `abort` called while a thread still writes.
    """

    def __init__(
        self,
        folder: Path,
        place: Callable[[str], Path],
        translated: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Begin the file.

        Args:
            folder: where it lies until it is whole.
            place: tells from the SHA-256 where it belongs, in the same file system.
            translated: turns errors of the operating system into those of the store.
        """
        self._place = place
        self._translated = translated
        self._lock = threading.Lock()
        self._hash = hashlib.sha256()
        self._size = 0
        self._head = b""
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
        with self._lock, self._translated():
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

    def commit(self) -> StoredBundle:
        """Move the file to where it belongs, once it is on the disk.

        Raises:
            UnavailableError: the disk takes no more.
            ValueError: the file was committed or given up.
        """
        digest = self._hash.hexdigest()
        final = self._place(digest)
        with self._lock, self._translated():
            os.fsync(self._file.fileno())
            final.parent.mkdir(exist_ok=True)
            self._path.replace(final)
            self._file.close()
            # Without this the name, though not the bytes, could be lost with the power.
            sync(final.parent)
            sync(final.parent.parent)
        return StoredBundle(digest, self._size, self._head)

    def abort(self) -> None:
        """Remove the file unless it was committed; a second time does nothing.

        Raises:
            UnavailableError: it cannot be removed.
        """
        with self._lock, self._translated():
            if not self._file.closed:
                self._discard()

    def _write(self, rest: memoryview) -> None:
        while rest:
            rest = rest[self._file.write(rest) :]

    def _discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def is_held(path: Path) -> bool:
    """Tell whether a writer that lives holds the temporary file.

    Raises:
        FileNotFoundError: there is no such file.
    """
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
