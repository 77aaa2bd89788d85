"""A bundle store in a folder."""

import contextlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mlhub.common.errors import NotFoundError
from mlhub.storage.bundles import BundleWriter, is_key, missing, require_key
from mlhub.storage.disk import translated
from mlhub.storage.incoming import IncomingFile, clear, sync


class DirectoryBundleStore:
    """Bundles as files, named by their keys: `root/ab/abcdef….0123…`.

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
        return IncomingFile(self._incoming, self._put)

    def open(self, key: str) -> BinaryIO:
        """Open a bundle for reading.

        Raises:
            NotFoundError: it is not there.
            UnavailableError: the folder cannot be read.
        """
        with self._looked_up(key) as path:
            return path.open("rb")

    def size(self, key: str) -> int:
        """Return a bundle's size in bytes.

        Raises:
            NotFoundError: it is not there.
            UnavailableError: the folder cannot be read.
        """
        with self._looked_up(key) as path:
            return path.stat().st_size

    def delete(self, key: str) -> None:
        """Drop a bundle; one that is not there is fine.

        Raises:
            UnavailableError: the folder cannot be written.
        """
        # The folder stays, also when it is empty now: a writer may be about to move a bundle into it.
        with contextlib.suppress(NotFoundError), self._looked_up(key) as path:
            path.unlink()

    def check(self) -> None:
        """See whether a file can be written.

        Raises:
            UnavailableError: it cannot, and why.
        """
        with translated():
            self._incoming.mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=self._incoming) as file:
                file.write(b"x")

    def listing(self) -> Iterator[tuple[str, float]]:
        """Yield the key of each bundle and the time it came, in seconds since 1970.

        Raises:
            UnavailableError: the folder cannot be read.
        """
        with translated():
            for path in self._root.glob("??/*"):
                # One may be deleted since its folder was read.
                with contextlib.suppress(FileNotFoundError):
                    if is_key(path.name):
                        yield path.name, path.stat().st_mtime

    def abandoned(self, older_than: float) -> int:
        """Clear away what writers that died left more than `older_than` seconds ago; return how many.

        Raises:
            UnavailableError: the folder cannot be written.
        """
        return clear(self._incoming, older_than)

    def _put(self, key: str, path: Path) -> None:
        final = self._place(key)
        sync(path)
        final.parent.mkdir(exist_ok=True)
        path.replace(final)
        # Without this the name, though not the bytes, could be lost with the power.
        sync(final.parent)
        sync(final.parent.parent)

    def _place(self, key: str) -> Path:
        return self._root / key[:2] / key

    @contextmanager
    def _looked_up(self, key: str) -> Iterator[Path]:
        """Give the path of a bundle; the caller finds out whether it is there."""
        require_key(key)
        with translated():
            try:
                yield self._place(key)
            except FileNotFoundError:
                # With the whole folder gone nothing is known of any bundle.
                self._root.stat()
                raise missing() from None
