"""How MLHub's ASGI applications run: gunicorn watches processes, uvicorn serves in each of them."""

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, ClassVar, Final

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from uvicorn import Config, Server
from uvicorn_worker import UvicornWorker

from mlhub.common.connection import ListeningProtocol
from mlhub.common.errors import MLHubError

_KEEP_ALIVE: Final = 120
"""Seconds an idle connection is kept: longer than load balancers and workers keep theirs."""
_LOOK: Final = 50
"""Ticks of a tenth of a second between two looks for silent clients."""
_ACCEPTS: Final = 32
"""Connections taken in one turn of the event loop."""
_COLLECTIONS: Final = (20_000, 20, 50)
"""Thresholds of the garbage collector: Python's own make it look at the objects of a thousand open requests
again and again, which are in use, all of them."""
_STUCK: Final = 120
"""Seconds without a sign of life after which a process is replaced; unpickling can keep it from any."""
_GRACE: Final = 30
"""Seconds that requests may take to end once the server was told to."""


class ListeningServer(Server):
    """uvicorn's server, which looks for silent clients now and then, and ends as gunicorn expects."""

    async def on_tick(self, counter: int) -> bool:
        """Close the connections of clients that are silent within a request, or have not asked for long."""
        if counter % _LOOK == 0:
            time = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, ListeningProtocol) and connection.is_left(time):
                    connection.transport.close()
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Have the signals to end heard; uvicorn raises them again at the end, which looks like a crash."""
        signals = (signal.SIGTERM, signal.SIGINT)
        before = [signal.signal(number, self.handle_exit) for number in signals]
        asyncio.get_running_loop().add_signal_handler(signal.SIGQUIT, self._quit)
        try:
            yield
        finally:
            for number, handler in zip(signals, before, strict=True):
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Finish the requests at hand, then go."""
        del sig, frame
        self.should_exit = True

    def _quit(self) -> None:
        self.should_exit = self.force_exit = True


class ServingWorker(UvicornWorker):
    """One process under gunicorn."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        "http": ListeningProtocol,
        "ws": "none",
        "lifespan": "on",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": _GRACE,
    }

    config: Config

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Its lines go the way of all others; those that tell of each start and stop are gunicorn's already.
        log = logging.getLogger("uvicorn.error")
        log.propagate = True
        log.setLevel(logging.WARNING)

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        # What is there now stays for the life of the process: collections need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECTIONS)
        server = ListeningServer(self.config)
        # libuv takes one connection a turn from each listening socket, and under load a turn is long.
        await server.serve(
            sockets=[listener.sock.dup() for listener in self.sockets for _ in range(_ACCEPTS)]
        )
        if not server.started:
            # Tells gunicorn not to try again and again.
            sys.exit(Arbiter.WORKER_BOOT_ERROR)


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
            "worker_class": ServingWorker,
            "logger_class": RootLog,
            "errorlog": None,
            "loglevel": logging.getLevelName(logging.getLogger().level).lower(),
            "proc_name": name,
            "keepalive": _KEEP_ALIVE,
            "timeout": _STUCK,
            "graceful_timeout": _GRACE,
            "control_socket_disable": True,
        }
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's options."""
        for name, value in self._settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Build the application, in the process that serves it."""
        logging.captureWarnings(capture=True)
        try:
            return self._create()
        except MLHubError as error:
            logging.getLogger(__name__).error("it cannot start: %s", error)  # noqa: TRY400 (no fault of the program)
            # Tells gunicorn not to try again and again.
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
