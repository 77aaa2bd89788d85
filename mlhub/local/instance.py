"""An instance of the hub on this machine: a folder with its data, and the ports it uses."""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from mlhub.local.errors import InstanceError
from mlhub.local.ports import free_ports

MARK: Final = "MLHUB_INSTANCE"
"""Variable in the environment of every process of an instance: the path of its folder."""
PROGRAM: Final = "MLHUB_PROGRAM"
"""Variable in the environment of a program and of all that it starts: its name in the plan."""
_LONGEST: Final = 80
"""Characters of a folder in which sockets can be; their whole path may have 107."""


class Instance:
    """The folder of an instance."""

    def __init__(self, folder: Path) -> None:
        # Resolved, since it is also the instance's mark: the same however one comes to it.
        self.folder = folder.resolve()
        self.logs = self.folder / "logs"
        self.run = self.folder / "run"
        self.broker = self.folder / "rabbitmq"
        self.database = self.folder / "database"
        self.bundles = self.folder / "bundles"
        self.models = self.folder / "models"
        self.plan = self.run / "plan.json"
        self.failures = self.run / "failures.json"

    def prepare(self) -> None:
        """Make the folders, for their owner only.

        Raises:
            InstanceError: they cannot be made.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.logs, self.run, self.broker, self.bundles, self.models):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise InstanceError(f"{self.folder} cannot be used for data: {error.strerror}.") from error

    @contextmanager
    def locked(self, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Keep others from starting or stopping the instance; `waiting` is told if one is at it."""
        self.prepare()
        with (self.run / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def choose_ports(self, names: list[str]) -> dict[str, int]:
        """Return ports for what is to listen: those of the last start where they are free."""
        file = self.folder / "ports.json"
        try:
            known = msgspec.json.decode(file.read_bytes(), type=dict[str, int])
        except (FileNotFoundError, msgspec.DecodeError):
            known = {}
        ports = known | free_ports(names, known)
        write(file, msgspec.json.encode(ports))
        return ports

    def socket_folder(self) -> Path:
        """Return a folder for sockets that only its owner may enter.

        Raises:
            InstanceError: the instance's own path is too long, and the folder in its stead is not ours.
        """
        if len(str(self.run)) <= _LONGEST:
            return self.run
        name = hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]
        folder = Path("/tmp") / f"mlhub-{os.getuid()}-{name}"  # noqa: S108 (whose it is, is checked)
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise InstanceError(f"{folder} belongs to somebody else; choose a shorter path for the data.")
        return folder


def write(file: Path, content: bytes) -> None:
    """Write a file that only its owner may read; others see the old content or the new."""
    fresh = file.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(content)
    fresh.replace(file)
