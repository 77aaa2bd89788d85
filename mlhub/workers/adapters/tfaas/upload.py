"""Uploads to TFaaS, one at a time: all of them go through one file of the server's."""

import fcntl
import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PIECE: Final = 1024 * 1024
_HERE: Final = threading.Lock()
"""Locks of files do not part threads that share a descriptor's process as surely as this."""


@contextmanager
def turn(address: str) -> Iterator[None]:
    """Wait until no other process of this machine uploads to a server."""
    digest = hashlib.sha256(address.encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"mlhub-tfaas-{os.getuid()}-{digest}.lock"
    with _HERE:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def pieces(descriptor: int) -> Iterator[bytes]:
    """Read an open file from its beginning, whoever else reads it."""
    position = 0
    while piece := os.pread(descriptor, _PIECE, position):
        yield piece
        position += len(piece)
