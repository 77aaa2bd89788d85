"""A private RabbitMQ node: all it has lies in one folder, and it listens on the loopback address only."""

import shutil
from pathlib import Path
from typing import Final

import msgspec

from mlhub.common.settings import SettingsError
from mlhub.local.program import Program

_HOMES: Final = (Path("/usr/lib/rabbitmq/bin"), Path("/opt/rabbitmq/sbin"), Path("/usr/local/sbin"))
"""Where the server's own scripts are; the wrapper in /usr/sbin changes the user when root calls it."""

_CONFIGURATION: Final = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
default_user = {user}
default_pass = {password}
loopback_users.{user} = true
log.file.level = info
log.file.rotation.size = 10485760
log.file.rotation.count = 2
"""
_ERLANG: Final = "-start_epmd false +sbwt none +sbwtdcpu none +sbwtdio none"
"""No epmd of its own, and no waiting in busy loops, which takes the time of the other parts."""


class BrokerPorts(msgspec.Struct, frozen=True):
    """The ports of a node."""

    amqp: int
    management: int
    distribution: int
    epmd: int


class RabbitNode:
    """A node in the folder `home`."""

    user: Final = "mlhub"

    def __init__(self, home: Path, ports: BrokerPorts, password: str) -> None:
        self._home = home
        self._ports = ports
        self._password = password

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"amqp://{self.user}:{self._password}@127.0.0.1:{self._ports.amqp}//"

    @property
    def management_url(self) -> str:
        """Where the management page is."""
        return f"http://127.0.0.1:{self._ports.management}"

    def programs(self) -> list[Program]:
        """Write the configuration, and return the programs that make up the node.

        Raises:
            SettingsError: RabbitMQ is not installed.
        """
        scripts = find_scripts()
        self._write_configuration()
        epmd = shutil.which("epmd")
        if epmd is None:
            raise SettingsError("Erlang's epmd is missing; install it: apt-get install erlang-base")
        environment = self._environment()
        return [
            Program(
                name="epmd",
                arguments=(epmd, "-address", "127.0.0.1", "-port", str(self._ports.epmd)),
                environment=environment,
                tier=4,
                patience=3.0,
            ),
            Program(
                name="rabbitmq",
                arguments=(str(scripts / "rabbitmq-server"),),
                environment=environment,
                tier=3,
                patience=30.0,
            ),
        ]

    def _write_configuration(self) -> None:
        self._home.mkdir(parents=True, exist_ok=True)
        configuration = self._home / "rabbitmq.conf"
        configuration.touch(mode=0o600)
        values = msgspec.structs.asdict(self._ports) | {"user": self.user, "password": self._password}
        configuration.write_text(_CONFIGURATION.format(**values))
        (self._home / "enabled_plugins").write_text("[rabbitmq_management].\n")

    def _environment(self) -> dict[str, str]:
        home = self._home
        return {
            # Erlang's cookie lies in the home directory.
            "HOME": str(home),
            "RABBITMQ_NODENAME": f"mlhub{self._ports.amqp}@localhost",
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            # Its own folder name, so that data stays with the node when its ports change.
            "RABBITMQ_MNESIA_DIR": str(home / "data" / "node"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_DIST_PORT": str(self._ports.distribution),
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(home / "feature_flags"),
            "RABBITMQ_PLUGINS_EXPAND_DIR": str(home / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG,
            "RABBITMQ_USE_LONGNAME": "false",
            "ERL_EPMD_PORT": str(self._ports.epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }


def find_scripts() -> Path:
    """Return the folder with RabbitMQ's scripts.

    Raises:
        SettingsError: it is not installed.
    """
    for home in _HOMES:
        if (home / "rabbitmq-server").is_file():
            return home
    raise SettingsError(
        "RabbitMQ is not installed; install it: apt-get install rabbitmq-server "
        "(or set MLHUB_BROKER_URL to a server of yours)",
        code="rabbitmq_missing",
    )
