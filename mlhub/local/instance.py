"""An instance of the hub on this machine: a folder with its data, and the ports it uses."""

from pathlib import Path
from typing import Final

import msgspec

from mlhub.common.settings import SettingsError
from mlhub.local.ports import free_ports

MARK: Final = "MLHUB_INSTANCE"
"""Variable in the environment of every process of an instance: the path of its folder."""
_PORTS: Final = ("amqp", "management", "distribution", "epmd", "database")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance remembers from one start to the next."""

    ports: dict[str, int]
    """Ports by the name of what listens there."""
    host: str
    port: int
    """Where the API listens."""


class Instance:
    """The folder of an instance."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.logs = self.folder / "logs"
        self.run = self.folder / "run"
        self.broker = self.folder / "rabbitmq"
        self.database = self.folder / "database"
        self.bundles = self.folder / "bundles"
        self.models = self.folder / "models"
        self._record = self.run / "instance.json"

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            SettingsError: they cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # The folder holds the broker's password.
            self.folder.chmod(0o700)
            for folder in (self.logs, self.run, self.bundles, self.models):
                folder.mkdir(exist_ok=True)
        except OSError as error:
            raise SettingsError(f"{self.folder} cannot be used for data: {error.strerror}.") from error

    def load(self) -> Record | None:
        """Return what is remembered; nothing before the first start."""
        try:
            return msgspec.json.decode(self._record.read_bytes(), type=Record)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise SettingsError(f"{self._record} is damaged; remove it and start again.") from error

    def save(self, host: str, port: int, servers: list[str]) -> Record:
        """Remember where this start listens; ports stay what they were while they are free."""
        known = self.load()
        ports = free_ports((*_PORTS, *servers), known.ports if known else {})
        record = Record(ports=ports, host=host, port=port)
        fresh = self._record.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(record)))
        fresh.replace(self._record)
        return record
