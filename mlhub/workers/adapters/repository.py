"""The folder in which model servers look for models: `<root>/<model>/<deployment>/…`."""

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from mlhub.common.errors import BackendError
from mlhub.storage.incoming import sync


class ModelRepository:
    """Puts versions into the folder and takes them out of it. A version is there as a whole or not at all."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def place(
        self, model: str, deployment: str, files: Path, *, folder: str = "", beside: Mapping[str, bytes] = {}
    ) -> None:
        """Make a folder's files a version; one that is there stays as it is.

        Args:
            model: whose version it is.
            deployment: name of the version's folder.
            files: the folder with its files.
            folder: the folder within the version's that they are put into; by default that itself.
            beside: more files for the version's folder, by name.

        Raises:
            BackendError: the repository cannot be written.
        """
        final = self._root / model / deployment
        # Servers skip names that begin with a dot.
        incoming = final.parent / f".{deployment}.{uuid4().hex}"
        with _translated():
            try:
                if final.is_dir():
                    return
                (incoming / folder).mkdir(parents=True)
                _copy(files, incoming / folder)
                for name, content in beside.items():
                    (incoming / name).write_bytes(content)
                    sync(incoming / name)
                sync(incoming)
                with suppress(FileExistsError), _renaming():
                    incoming.rename(final)
                sync(final.parent)
            except OSError:
                # Who was faster clears away what others were about to place.
                if not final.is_dir():
                    raise
            finally:
                shutil.rmtree(incoming, ignore_errors=True)
                if final.is_dir():
                    for left in final.parent.glob(f".{deployment}.*"):
                        shutil.rmtree(left, ignore_errors=True)

    def has_any(self, model: str) -> bool:
        """Tell whether a model has versions here."""
        return any(not path.name.startswith(".") for path in (self._root / model).glob("*"))

    def remove(self, model: str, deployment: str) -> None:
        """Remove a version, and what unfinished attempts to place it left; one that is not there is fine.

        Raises:
            BackendError: the repository cannot be written.
        """
        folder = self._root / model
        with _translated():
            for path in (folder / deployment, *folder.glob(f".{deployment}.*")):
                with suppress(FileNotFoundError):
                    shutil.rmtree(path)
            # Other versions of the model may be there.
            with suppress(OSError):
                folder.rmdir()


def _copy(source: Path, target: Path) -> None:
    # Parents sort before what is in them.
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir()
        else:
            _link_or_copy(path, place)
        sync(place)
    sync(target)


def _link_or_copy(path: Path, place: Path) -> None:
    try:
        # In one file system a second name costs nothing, and the first one goes soon.
        os.link(path, place)
    except OSError:
        shutil.copyfile(path, place)


@contextmanager
def _renaming() -> Iterator[None]:
    """Have a target that is there said in one way; systems differ."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOTEMPTY:
            raise FileExistsError(*error.args) from error
        raise


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackendError(
            f"The model repository cannot be written: {error.strerror}.", code="repository_unavailable"
        ) from error
