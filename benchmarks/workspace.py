"""The folder of a run: data, models and logs; gone when it ends, unless something failed."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlhub.local.ports import free_ports


class Workspace:
    """Places for what contestants need."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, name: str) -> Path:
        """Return a folder of that name, made at its first use."""
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def log(self, name: str) -> Path:
        """Return the file for a server's output."""
        return self.folder("logs") / f"{name}.log"


def free_port() -> int:
    """Return a port that nothing listens on."""
    return free_ports(["server"], {})["server"]


@contextmanager
def workspace(*, keep: bool) -> Iterator[Workspace]:
    """Make a workspace; with `keep` it stays, to look into its logs."""
    # A short path: sockets in it may have 107 characters.
    root = Path(tempfile.mkdtemp(prefix="mlhub-bench-"))
    try:
        yield Workspace(root)
    finally:
        if not keep:
            shutil.rmtree(root, ignore_errors=True)
