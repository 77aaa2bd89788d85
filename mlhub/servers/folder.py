"""The folder in which a server finds its models: `<repository>/<model>/<version>/…`.

A version's folder holds the files of a bundle, at the top or in one sub-folder. Only names that
`mlhub.common.names.PATTERN` allows exist here, so that no name leads out of the folder.
"""

import os
import re
from pathlib import Path
from typing import Final

import msgspec

from mlhub.common.errors import NotFoundError, UnacceptableError
from mlhub.common.names import PATTERN

Stamp = tuple[tuple[str, int, int, int], ...]
"""Name, inode, time of change and size of a version's folder and files: another stamp, another model."""

_NAME: Final = re.compile(PATTERN)
_STAMPED: Final = 100
"""Files of a bundle that its stamp covers; a model has fewer at its top."""


class Bundle(msgspec.Struct, frozen=True):
    """The files of one version, as they are now."""

    root: Path
    """Folder that holds them."""
    stamp: Stamp
    size: int
    """Bytes of all files."""


class ModelFolder:
    """Looks up models and versions on the disk."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def exists(self) -> bool:
        """Tell whether the repository itself can be read."""
        return os.access(self._root, os.R_OK | os.X_OK) and self._root.is_dir()

    def models(self) -> list[str]:
        """Name all models that have a version, in order."""
        return sorted(name for name in _folders(self._root) if _folders(self._root / name))

    def versions(self, model: str) -> list[str]:
        """Name the versions of a model, newest first by the time their folders changed.

        Raises:
            NotFoundError: there is no such model.
        """
        found = _folders(self._root / model) if _NAME.fullmatch(model) else {}
        if not found:
            raise _no_model(model)
        return sorted(found, key=lambda name: (found[name], name), reverse=True)

    def bundle(self, model: str, version: str) -> Bundle:
        """Find the files of a version.

        Raises:
            NotFoundError: there is no such model, or it has no such version.
        """
        folder = self._path(model, version)
        try:
            root = _bundle_root(folder)
            return Bundle(root, _stamp(folder, root), _size(root))
        except (FileNotFoundError, NotADirectoryError):
            self.versions(model)
            raise NotFoundError(
                f"Model {model!r} has no version {version!r} here.", code="version_not_found"
            ) from None
        except OSError as error:
            raise UnacceptableError(
                f"The files of model {model!r} cannot be read: {error.strerror}.", code="not_loadable"
            ) from error

    def stamp(self, model: str, version: str) -> Stamp | None:
        """Return what tells the files of a version from others; `None` when they are gone."""
        folder = self._path(model, version)
        try:
            return _stamp(folder, _bundle_root(folder))
        except OSError:
            return None

    def _path(self, model: str, version: str) -> Path:
        if not _NAME.fullmatch(model):
            raise _no_model(model)
        if not _NAME.fullmatch(version):
            raise NotFoundError(f"Model {model!r} has no version {version!r} here.", code="version_not_found")
        return self._root / model / version


def _no_model(model: str) -> NotFoundError:
    return NotFoundError(f"There is no model {model!r} here.", code="model_not_found")


def _folders(parent: Path) -> dict[str, int]:
    """Map the names of the folders in `parent` to the times they changed."""
    found = {}
    try:
        with os.scandir(parent) as entries:
            for entry in entries:
                if _NAME.fullmatch(entry.name) and entry.is_dir():
                    found[entry.name] = entry.stat().st_mtime_ns
    except OSError:
        # Gone, going while this looks, or not for this server to read: nothing it could serve.
        return found
    return found


def _bundle_root(folder: Path) -> Path:
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    if len(visible) == 1 and visible[0].is_dir():
        return Path(visible[0].path)
    return folder


def _stamp(folder: Path, root: Path) -> Stamp:
    own = folder.stat()
    marks = [("", own.st_ino, own.st_mtime_ns, 0)]
    with os.scandir(root) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            marks.append((entry.name, status.st_ino, status.st_mtime_ns, status.st_size))
            if len(marks) > _STAMPED:
                break
    return tuple(sorted(marks))


def _size(root: Path) -> int:
    return sum((Path(folder) / name).lstat().st_size for folder, _, names in os.walk(root) for name in names)
