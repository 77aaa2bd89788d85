"""A private RabbitMQ node: all it has lies in one folder, and it listens on the loopback address only."""

import secrets
import shutil
from pathlib import Path
from typing import Final

import msgspec

from mlhub.local.errors import MissingError
from mlhub.local.instance import write
from mlhub.local.program import Program

_HOMES: Final = (Path("/usr/lib/rabbitmq/bin"), Path("/opt/rabbitmq/sbin"))
"""Where packages put the server's own scripts; Debian's wrapper in the path changes the user for root."""

_CONFIGURATION: Final = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
default_user = {user}
default_pass = {password}
loopback_users.{user} = true
log.file = false
log.console = true
log.console.use_colors = off
log.console.level = info
"""
_MANAGEMENT: Final = """\
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
# Its page and the hub's show how queues are, not how they were.
collect_statistics_interval = 2000
"""
_ERLANG: Final = "+S 2:2 +SDcpu 1:1 +A 1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}"
"""Few threads, none that waits in a busy loop, and no other interface for other nodes either."""
_LEAVING: Final = (
    " -eval sys:install(erl_signal_server,{fun(S,{in,{notify,sigterm}},_)->"
    "gen_event:delete_handler(rabbit_event,rabbit_mgmt_db_handler,[]),S;(S,_,_)->(S)end,0})."
)
"""Has the management plugin's collector of statistics leave before the node stops. When it stops by a signal,
that collector would ask for something that stops already, and wait five seconds for the answer.
Without blanks and quotes, since a shell takes it apart at them."""


PORTS: Final = ("amqp", "management", "distribution", "epmd")
"""The ports that a node needs, by their names in `BrokerPorts`."""


class BrokerPorts(msgspec.Struct, frozen=True):
    """The ports of a node."""

    amqp: int
    management: int
    distribution: int
    epmd: int


class RabbitNode:
    """A node in the folder `home`."""

    user: Final = "mlhub"

    def __init__(self, home: Path, ports: BrokerPorts, *, management: bool = True) -> None:
        """Describe the node, and make its folder and a password when there are none.

        Args:
            home: folder for all that it writes.
            ports: where it listens, on the loopback address.
            management: whether it has the management page.
        """
        self._home = home
        self._ports = ports
        self._management = management
        home.mkdir(parents=True, exist_ok=True)
        self.password = _password(password_file(home))

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"amqp://{self.user}:{self.password}@127.0.0.1:{self._ports.amqp}//"

    @property
    def management_url(self) -> str:
        """Where the management page is."""
        return f"http://127.0.0.1:{self._ports.management}"

    def programs(self) -> list[Program]:
        """Write the configuration, and return the programs that make up the node.

        Raises:
            MissingError: RabbitMQ is not installed.
        """
        scripts = find_scripts()
        self._write_configuration()
        epmd = shutil.which("epmd")
        if epmd is None:
            raise MissingError("Erlang's epmd is not installed; install it: apt-get install erlang-base.")
        environment = self._environment()
        return [
            Program(
                name="epmd",
                arguments=(epmd, "-address", "127.0.0.1", "-port", str(self._ports.epmd)),
                environment=environment,
                tier=3,
                patience=3.0,
            ),
            Program(
                name="rabbitmq",
                arguments=(str(scripts / "rabbitmq-server"),),
                environment=environment,
                tier=2,
                patience=30.0,
            ),
        ]

    def _write_configuration(self) -> None:
        values = msgspec.structs.asdict(self._ports) | {"user": self.user, "password": self.password}
        template = _CONFIGURATION if not self._management else _CONFIGURATION + _MANAGEMENT
        write(self._home / "rabbitmq.conf", template.format(**values).encode())
        plugins = "rabbitmq_management" if self._management else ""
        (self._home / "enabled_plugins").write_text(f"[{plugins}].\n")

    def _environment(self) -> dict[str, str]:
        home = self._home
        return {
            # Erlang's cookie lies in the home directory.
            "HOME": str(home),
            # The data belongs to a node of this name, so that it does not change with the ports. It need
            # not be unique on the machine: every node has an epmd of its own.
            "RABBITMQ_NODENAME": "mlhub@localhost",
            "RABBITMQ_USE_LONGNAME": "false",
            # Nothing of a node of the whole system: these files need not be there.
            "RABBITMQ_CONF_ENV_FILE": str(home / "rabbitmq-env.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_DIST_PORT": str(self._ports.distribution),
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(home / "feature_flags"),
            "RABBITMQ_PLUGINS_EXPAND_DIR": str(home / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG + _LEAVING,
            # The start script then becomes the node instead of standing beside it, so that signals reach it.
            "detached": "true",
            # Also for the short-lived Erlang that the node starts: epmd must not be started as a daemon.
            "ERL_FLAGS": "-start_epmd false",
            "ERL_EPMD_PORT": str(self._ports.epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }


def password_file(home: Path) -> Path:
    """Return where a node's password is kept."""
    return home / "password"


def _password(file: Path) -> str:
    """Return the password of the node's only user: it is set by the first start and stays with the data."""
    try:
        return file.read_text()
    except FileNotFoundError:
        password = secrets.token_urlsafe(18)
        write(file, password.encode())
        return password


def find_scripts() -> Path:
    """Return the folder with RabbitMQ's scripts.

    Raises:
        MissingError: it is not installed.
    """
    found = shutil.which("rabbitmq-server")
    homes = [*_HOMES, Path(found).resolve().parent] if found else [*_HOMES]
    for home in homes:
        if (home / "rabbitmq-server").is_file() and (home / "rabbitmq-env").is_file():
            return home
    raise MissingError(
        "RabbitMQ is not installed; install it: apt-get install rabbitmq-server, "
        "or set MLHUB_BROKER_URL to a server of yours."
    )
