"""Folders in which bundles are unpacked, and the clearing away of those whose job died."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def workspace(root: Path, name: str) -> Iterator[Path]:
    """Give an empty folder for the time of the block.

    It is locked, and locks end with their process: so `clear` can tell folders of the living from others.
    """
    root.mkdir(parents=True, exist_ok=True)
    while True:
        path = Path(tempfile.mkdtemp(dir=root, prefix=f"{name}."))
        lock = _lock(path)
        if lock is not None:
            # Else somebody cleared it away before it was locked.
            break
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def clear(root: Path) -> int:
    """Remove the folders of jobs that died; return how many."""
    count = 0
    for path in root.iterdir() if root.is_dir() else ():
        lock = _lock(path)
        if lock is None:
            continue
        try:
            shutil.rmtree(path, ignore_errors=True)
            count += 1
        finally:
            os.close(lock)
    return count


def _lock(path: Path) -> int | None:
    """Lock a folder; nothing when it is locked or gone."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # It may have been removed between the two calls.
            path.stat()
        except OSError:
            os.close(descriptor)
            raise
        return descriptor
    return None
