"""How MLHub's ASGI applications run: gunicorn, told a few things that it does otherwise by itself."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.workers.gasgi import ASGIWorker

_KEEP_ALIVE: Final = 120
"""Seconds an idle connection is kept: longer than load balancers and workers keep theirs."""
_STUCK: Final = 120
"""Seconds without a sign of life after which a process is replaced; unpickling can keep it from any."""
_GRACE: Final = 30
"""Seconds that requests may take to end once the server was told to."""
_PAUSE: Final = 0.1
"""Seconds between two looks whether requests are still worked on, while the server ends."""


class CountingApp:
    """An ASGI application around another one that counts the requests being worked on."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.running = 0
        """Requests without a complete answer."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request, or the application's life span."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self.running += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self.running -= 1


class LeavingWorker(ASGIWorker):
    """gunicorn's worker, which leaves idle connections when it ends instead of waiting for their clients."""

    asgi: CountingApp

    def handle_exit_signal(self) -> None:
        """Finish the requests at hand, then go."""
        if self.alive:
            super().handle_exit_signal()
            self._leaving = self.loop.create_task(self._leave())

    async def _leave(self) -> None:
        # A request may be on its way on a connection that looks idle, so one look is not enough.
        quiet = 0
        while quiet < 2:  # noqa: PLR2004
            await asyncio.sleep(_PAUSE)
            quiet = 0 if self.asgi.running else quiet + 1
        self.handle_quit_signal()


class RootLog(Logger):
    """Has gunicorn's own lines look like all others of the process."""

    def setup(self, cfg: Any) -> None:
        """Leave the lines to the handlers of the root logger."""
        super().setup(cfg)
        self.error_log.propagate = True


class AsgiServer(BaseApplication):
    """Runs an application in processes; each builds one of its own."""

    def __init__(self, name: str, create: Callable[[], Any], *, host: str, port: int, processes: int) -> None:
        self._create = create
        self._settings: dict[str, Any] = {
            "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            "workers": processes,
            "worker_class": LeavingWorker,
            "logger_class": RootLog,
            "errorlog": None,
            "loglevel": logging.getLevelName(logging.getLogger().level).lower(),
            "proc_name": name,
            "keepalive": _KEEP_ALIVE,
            "timeout": _STUCK,
            "graceful_timeout": _GRACE,
            "control_socket_disable": True,
            # Its parser in C (gunicorn_h1c 0.6.9) drops large requests that follow others on a connection.
            "http_parser": "python",
        }
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's options."""
        for name, value in self._settings.items():
            self.cfg.set(name, value)

    def load(self) -> CountingApp:
        """Build the application, in the process that serves it."""
        logging.captureWarnings(capture=True)
        return CountingApp(self._create())
