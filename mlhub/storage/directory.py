"""A bundle store in a folder."""

import errno
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from mlhub.common.archive import HEAD
from mlhub.common.errors import NotFoundError, UnavailableError
from mlhub.storage.bundles import BundleWriter, StoredBundle

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class DirectoryBundleStore:
    """Bundles as files, named by their content: `root/ab/abcdef…`.

    A bundle is written under a temporary name and moved when it is whole and on the disk, so that a file
    with a bundle's name is that bundle.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "tmp"

    def create(self) -> BundleWriter:
        """Begin to take a bundle in.

        Raises:
            UnavailableError: the folder cannot be written.
        """
        with _translated():
            self._incoming.mkdir(parents=True, exist_ok=True)
            return _Writer(self._root, self._incoming)

    def open(self, sha256: str) -> BinaryIO:
        """Open a bundle for reading.

        Raises:
            NotFoundError: it is not there.
        """
        with _translated():
            return _place(self._root, sha256).open("rb")

    def exists(self, sha256: str) -> bool:
        """Tell whether a bundle is there."""
        return _place(self._root, sha256).is_file()

    def size(self, sha256: str) -> int:
        """Return a bundle's size in bytes.

        Raises:
            NotFoundError: it is not there.
        """
        with _translated():
            return _place(self._root, sha256).stat().st_size

    def delete(self, sha256: str) -> None:
        """Drop a bundle; one that is not there is fine."""
        with _translated():
            _place(self._root, sha256).unlink(missing_ok=True)

    def check(self) -> None:
        """See whether a file can be written.

        Raises:
            UnavailableError: it cannot, and why.
        """
        with _translated():
            self._incoming.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._incoming) as file:
                file.write(b"x")

    def digests(self) -> Iterator[tuple[str, float]]:
        """Yield the key of each bundle and the time it came, in seconds since 1970."""
        for path in self._root.glob("??/*"):
            try:
                yield path.name, path.stat().st_mtime
            except FileNotFoundError:
                # Deleted since the folder was read.
                continue

    def abandoned(self, older_than: float) -> int:
        """Clear away what writers that died left more than `older_than` seconds ago; return how many."""
        count = 0
        limit = time.time() - older_than
        with _translated():
            for path in self._incoming.glob("*"):
                try:
                    if path.stat().st_mtime < limit:
                        path.unlink()
                        count += 1
                except FileNotFoundError:
                    # Another process was faster.
                    continue
        return count


class _Writer:
    """A bundle in a temporary file."""

    def __init__(self, root: Path, incoming: Path) -> None:
        self._root = root
        descriptor, name = tempfile.mkstemp(dir=incoming)
        self._path: Path | None = Path(name)
        self._file = os.fdopen(descriptor, "wb")
        self._hash = hashlib.sha256()
        self._size = 0
        self._head = b""

    def write(self, chunk: bytes) -> None:
        """Add bytes.

        Raises:
            UnavailableError: the disk takes no more.
        """
        self._hash.update(chunk)
        self._size += len(chunk)
        if len(self._head) < HEAD:
            self._head += chunk[: HEAD - len(self._head)]
        with _translated():
            self._file.write(chunk)

    def commit(self) -> StoredBundle:
        """Move the file to its final name once it is on the disk.

        Raises:
            UnavailableError: the disk takes no more.
        """
        if self._path is None:
            raise ValueError("This bundle was committed or given up before.")
        digest = self._hash.hexdigest()
        final = _place(self._root, digest)
        with _translated():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            final.parent.mkdir(exist_ok=True)
            self._path.replace(final)
            self._path = None
            # Without this the name, though not the bytes, could be lost with the power.
            _sync(final.parent)
            _sync(self._root)
        return StoredBundle(digest, self._size, self._head)

    def abort(self) -> None:
        """Remove the temporary file, if it is still there."""
        self._file.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None


def _place(root: Path, sha256: str) -> Path:
    return root / sha256[:2] / sha256


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the operating system's errors into MLHub's.

    Raises:
        NotFoundError: a bundle is not there.
        UnavailableError: the folder cannot be written.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError("The bundle is not in the store.", code="bundle_not_found") from error
    except OSError as error:
        why = "is full" if error.errno in _FULL else f"cannot be used ({error.strerror})"
        raise UnavailableError(
            f"The bundle store {why}.", code="store_unavailable", retry_after=30
        ) from error
