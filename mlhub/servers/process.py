"""A model server as gunicorn processes with its ASGI worker."""

from typing import TYPE_CHECKING, Any, Final

import msgspec
from gunicorn.app.base import BaseApplication

from mlhub.servers.frameworks import check_framework

if TYPE_CHECKING:
    # What serves brings numpy and the framework; the process that only watches does without.
    from mlhub.servers.app import ServerOptions

_KEEP_ALIVE: Final = 120
"""Seconds an idle connection is kept: workers of a queue come back to theirs."""
_STUCK: Final = 120
"""Seconds after which a process is replaced that does not answer; loading may keep it from that for long."""


class Listening(msgspec.Struct, frozen=True):
    """Where and how a server listens."""

    host: str
    port: int
    processes: int
    log_level: str


class ModelServer(BaseApplication):
    """Runs one framework's server; each process has its own models in memory."""

    def __init__(self, options: "ServerOptions", listening: Listening) -> None:
        check_framework(options.framework)
        self._options = options
        self._listening = listening
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's options."""
        settings: dict[str, Any] = {
            "bind": f"{self._listening.host}:{self._listening.port}",
            "workers": self._listening.processes,
            "worker_class": "asgi",
            "proc_name": f"mlhub-serve-{self._options.framework}",
            "keepalive": _KEEP_ALIVE,
            "timeout": _STUCK,
            "graceful_timeout": 10,
            "control_socket_disable": True,
            "loglevel": self._listening.log_level.lower(),
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Build the application, in the process that serves it."""
        from mlhub.servers.app import create_app  # noqa: PLC0415 (only where it serves)

        return create_app(self._options)
