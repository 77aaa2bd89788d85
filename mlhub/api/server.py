"""The API as gunicorn processes with its ASGI worker."""

from typing import Any, Final

from gunicorn.app.base import BaseApplication

from mlhub.api.app import create_app
from mlhub.common.settings import Settings

_KEEP_ALIVE: Final = 75
"""Seconds an idle connection is kept: longer than load balancers keep theirs."""


class Server(BaseApplication):
    """Runs the API; each process builds an application of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's options."""
        options: dict[str, Any] = {
            "bind": f"{self._settings.host}:{self._settings.port}",
            "workers": self._settings.api_processes,
            "worker_class": "asgi",
            "proc_name": "mlhub-api",
            "keepalive": _KEEP_ALIVE,
            "graceful_timeout": 30,
            "control_socket_disable": True,
            "loglevel": self._settings.log_level.lower(),
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Build the application, in the process that serves it."""
        return create_app(self._settings)
