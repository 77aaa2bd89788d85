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

import msgspec
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn_worker import UvicornWorker

_KEEP_ALIVE: Final = 120
"""Seconds an idle connection is kept: longer than load balancers and workers keep theirs."""
_SILENT: Final = 60.0
"""Seconds a client may say nothing in the middle of a request."""
_HEAD_BYTES: Final = 65536
"""Bytes that a request's line and headers may have."""
_CONTINUE: Final = b"HTTP/1.1 100 "
"""Begins what a client that waits for it is told before its answer."""
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


class WholeAnswer:
    """The transport as one request sees it: the head of the answer goes with what follows it.

    uvicorn writes them one after the other, and uvloop sends each at once. A write is a call to the system,
    and wakes the client up: it costs more than most of what is done for a small answer. ASGI wants it like
    this, too: nothing goes out before the body begins.
    """

    __slots__ = ("_head", "_is_begun", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._is_begun = False

    def write(self, data: bytes) -> None:
        """Send what is written, but keep the head of the answer until there is more."""
        if not self._is_begun and not data.startswith(_CONTINUE):
            self._is_begun, self._head = True, data
            return
        self._transport.write(self._head + data if self._head else data)
        self._head = b""

    def is_closing(self) -> bool:
        """Tell whether the connection ends."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Send what was kept, and close the connection."""
        if self._head:
            self.write(b"")
        self._transport.close()


class ListeningProtocol(HttpToolsProtocol):
    """Gives up on clients that fall silent within a request, or never end its head."""

    heard = 0.0
    """Time of the event loop at which the last bytes came."""
    head_open = True
    """Whether a request's head is not whole yet; true of a connection that has sent nothing, too."""
    head_size = 0
    """Bytes of a head that came in several pieces, as far as they are known to be part of it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """Begin to listen."""
        super().connection_made(transport)
        self.heard = self.loop.time()

    def data_received(self, data: bytes) -> None:
        """Take in what came; refuse a head that does not end."""
        self.heard = self.loop.time()
        was_open = self.head_open
        super().data_received(data)
        if was_open and self.head_open:
            self.head_size += len(data)
            if self.head_size > _HEAD_BYTES and not self.transport.is_closing():
                self._refuse(431, "head_too_large", f"The request's headers exceed {_HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        super().on_message_begin()
        self.head_open = True

    def on_headers_complete(self) -> None:
        """Note that it is whole."""
        self.head_open, self.head_size = False, 0
        super().on_headers_complete()
        # An answer to HEAD has nothing that follows.
        if self.cycle is not None and self.scope["method"] != "HEAD":
            whole: Any = WholeAnswer(self.cycle.transport)
            self.cycle.transport = whole

    def is_silent(self, since: float) -> bool:
        """Tell whether it is the client's turn, and it has said nothing since a time of the event loop."""
        if self.heard > since or self.flow is None or self.flow.read_paused:
            return False
        return self.cycle is None or self.head_size > 0 or self.cycle.more_body

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the form of all errors."""
        self._refuse(400, "bad_request", msg)

    def _refuse(self, status: int, code: str, detail: str) -> None:
        title = "Bad Request" if status == 400 else "Request Header Fields Too Large"  # noqa: PLR2004
        body = msgspec.json.encode(
            {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail}
        )
        head = (
            f"HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


class ListeningServer(Server):
    """uvicorn's server, which looks for silent clients now and then, and ends as gunicorn expects."""

    async def on_tick(self, counter: int) -> bool:
        """Close the connections of clients that are silent within a request."""
        if counter % _LOOK == 0:
            since = asyncio.get_running_loop().time() - _SILENT
            for connection in list(self.server_state.connections):
                if isinstance(connection, ListeningProtocol) and connection.is_silent(since):
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
        return self._create()
