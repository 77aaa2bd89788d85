"""A bundle store in a folder."""

import contextlib
import errno
import logging
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from mlhub.common.errors import NotFoundError, UnavailableError
from mlhub.storage.bundles import BundleWriter
from mlhub.storage.incoming import IncomingFile, is_held

_LOG = logging.getLogger(__name__)

_DIGEST: Final = re.compile("[0-9a-f]{64}")
_REASONS: Final = {
    errno.ENOSPC: "its disk is full; free some space on it",
    errno.EDQUOT: "its disk quota is used up; free some space in it",
    errno.ENOENT: "its folder is missing",
    errno.ENOTDIR: "its folder is missing",
    errno.EACCES: "its folder may not be written by this process",
    errno.EPERM: "its folder may not be written by this process",
    errno.EROFS: "its disk is read-only",
}
"""What the operating system's errors mean for who runs the hub."""
_RETRY_AFTER: Final = 30
"""Seconds after which a disk that took nothing may take something again."""


class DirectoryBundleStore:
    """Bundles as files, named by their content: `root/ab/abcdef…`.

    A bundle is written under a temporary name and moved when it is whole and on the disk, so that a file
    with a bundle's name is that bundle. Many processes may use one folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "tmp"
        # Only here: a folder that disappears later, as with a lost mount, must not be made anew elsewhere.
        with contextlib.suppress(OSError):
            # `check` says what is wrong, and the rest of the hub can do without.
            root.mkdir(parents=True, exist_ok=True)

    def create(self) -> BundleWriter:
        """Begin to take a bundle in.

        Raises:
            UnavailableError: the folder cannot be written.
        """
        with _translated():
            self._incoming.mkdir(exist_ok=True)
            return IncomingFile(self._incoming, self._place, _translated)

    def open(self, sha256: str) -> BinaryIO:
        """Open a bundle for reading.

        Raises:
            NotFoundError: it is not there.
            UnavailableError: the folder cannot be read.
        """
        with self._looked_up(sha256) as path:
            return path.open("rb")

    def exists(self, sha256: str) -> bool:
        """Tell whether a bundle is there.

        Raises:
            UnavailableError: the folder cannot be read.
        """
        try:
            self.size(sha256)
        except NotFoundError:
            return False
        return True

    def size(self, sha256: str) -> int:
        """Return a bundle's size in bytes.

        Raises:
            NotFoundError: it is not there.
            UnavailableError: the folder cannot be read.
        """
        with self._looked_up(sha256) as path:
            return path.stat().st_size

    def delete(self, sha256: str) -> None:
        """Drop a bundle; one that is not there is fine.

        Raises:
            UnavailableError: the folder cannot be written.
        """
        # The folder stays, also when it is empty now: a writer may be about to move a bundle into it.
        with contextlib.suppress(NotFoundError), self._looked_up(sha256) as path:
            path.unlink()

    def check(self) -> None:
        """See whether a file can be written.

        Raises:
            UnavailableError: it cannot, and why.
        """
        with _translated():
            self._incoming.mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=self._incoming) as file:
                file.write(b"x")

    def digests(self) -> Iterator[tuple[str, float]]:
        """Yield the key of each bundle and the time it came, in seconds since 1970.

        Raises:
            UnavailableError: the folder cannot be read.
        """
        with _translated():
            for path in self._root.glob("??/*"):
                # One may be deleted since its folder was read.
                with contextlib.suppress(FileNotFoundError):
                    if _DIGEST.fullmatch(path.name):
                        yield path.name, path.stat().st_mtime

    def abandoned(self, older_than: float) -> int:
        """Clear away what writers that died left more than `older_than` seconds ago; return how many.

        Raises:
            UnavailableError: the folder cannot be written.
        """
        count = 0
        limit = time.time() - older_than
        with _translated():
            for path in self._incoming.glob("*"):
                # Another process may be faster.
                with contextlib.suppress(FileNotFoundError):
                    if path.stat().st_mtime <= limit and not is_held(path):
                        path.unlink()
                        count += 1
        return count

    def _place(self, sha256: str) -> Path:
        return self._root / sha256[:2] / sha256

    @contextmanager
    def _looked_up(self, sha256: str) -> Iterator[Path]:
        """Give the path of a bundle; the caller finds out whether it is there."""
        missing = NotFoundError("The bundle is not in the store.", code="bundle_not_found")
        if _DIGEST.fullmatch(sha256) is None:
            raise missing
        with _translated():
            try:
                yield self._place(sha256)
            except FileNotFoundError:
                # With the whole folder gone nothing is known of any bundle.
                self._root.stat()
                raise missing from None


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the operating system's errors into MLHub's; they name paths, which are for the log alone.

    Raises:
        UnavailableError: the folder cannot be used.
    """
    try:
        yield
    except OSError as error:
        _LOG.warning("bundle store: %s", error)
        why = _REASONS.get(error.errno or 0, f"the operating system says: {error.strerror}")
        raise UnavailableError(
            f"The bundle store cannot be used: {why}.", code="store_unavailable", retry_after=_RETRY_AFTER
        ) from error
