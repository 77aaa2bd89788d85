"""Folders and disks: the bundle store, the work folder, the repositories of model servers."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mlhub.common.errors import MLHubError
from mlhub.common.settings import Settings
from mlhub.doctor.finding import Finding, bad, good, warning
from mlhub.storage.stores import create_bundle_store

_GIB: Final = 1024**3
_GRIDFS: Final = "gridfs"
_LEAST: Final = _GIB
"""Bytes below which a disk is as good as full."""
_LITTLE: Final = 0.1
"""Part of a disk below which it is soon full."""


def look_at_store(settings: Settings) -> Iterator[Finding]:
    """Look whether the bundle store takes bundles."""
    if "://" not in settings.bundles and settings.bundles != _GRIDFS and not Path(settings.bundles).exists():
        yield bad(
            "bundle store",
            f"The folder {Path(settings.bundles).absolute()} is not there.",
            "Make it, or set MLHUB_BUNDLES to the one that the API uses.",
        )
        return
    try:
        create_bundle_store(settings).check()
    except MLHubError as error:
        yield bad("bundle store", error.detail, "Have its place writable, or correct MLHUB_BUNDLES.")
    else:
        yield good("bundle store", f"{settings.bundles} takes bundles.")


def look_at_folders(settings: Settings) -> Iterator[Finding]:
    """Look at the folders of this machine: whether they can be written, and how much room there is."""
    folders = {"work folder": settings.run_dir.absolute()}
    for name, backend in settings.backends.items():
        if backend.repository is not None:
            folders[f"repository of {name}"] = backend.repository.absolute()
    for what, folder in folders.items():
        if not folder.is_dir():
            yield warning(what, f"The folder {folder} is not here.", "Make or mount it where workers run.")
        elif not os.access(folder, os.W_OK | os.X_OK):
            yield bad(what, f"The folder {folder} cannot be written.", "Give the workers' user the right to.")
        else:
            yield good(what, f"{folder} can be written.")
    is_folder = "://" not in settings.bundles and settings.bundles != _GRIDFS
    bundles = {"bundle store": Path(settings.bundles).absolute()} if is_folder else {}
    yield from _room(folders | bundles)


def _room(folders: dict[str, Path]) -> Iterator[Finding]:
    disks: dict[int, Path] = {}
    for folder in folders.values():
        if folder.is_dir():
            disks.setdefault(folder.stat().st_dev, folder)
    for folder in disks.values():
        usage = shutil.disk_usage(folder)
        detail = f"{usage.free / _GIB:.1f} of {usage.total / _GIB:.1f} GiB are free around {folder}."
        advice = "Delete versions that nobody needs, or give it a larger disk."
        if usage.free < _LEAST:
            yield bad("disk", detail, advice)
        elif usage.free < _LITTLE * usage.total:
            yield warning("disk", detail, advice)
        else:
            yield good("disk", detail)
