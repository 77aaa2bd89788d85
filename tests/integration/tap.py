"""Stands between a hub and its database, and holds back the answer to a chosen write."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_LONGEST: Final = 150.0
"""Seconds for which an answer is held back at most."""
_OVERLAP: Final = 256
"""Bytes of a chosen text that may have come with the piece before."""


class Tap:
    """Passes connections on; a write is done, and whoever asked for it does not learn so yet."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.held = threading.Event()
        """Whether the write was done, and its answer is held back."""
        self._chosen: bytes | None = None
        self._open = threading.Event()
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._begin(self._accept)

    def hold(self, chosen: bytes) -> None:
        """Hold back the answer to the next message that has these bytes."""
        self.held.clear()
        self._open.clear()
        self._chosen = chosen

    def release(self) -> None:
        """Hold nothing back any more."""
        self._chosen = None
        self._open.set()

    def close(self) -> None:
        """Close all connections."""
        self.release()
        # Wakes the thread that accepts, which closing alone does not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in self._ends:
            end.close()

    def _begin(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._ends.append(client)
                try:
                    server = socket.create_connection(self._target)
                except OSError:
                    client.shutdown(socket.SHUT_RDWR)
                    continue
                self._ends.append(server)
                asked = threading.Event()
                self._begin(self._requests, client, server, asked)
                self._begin(self._answers, server, client, asked)

    def _requests(self, client: socket.socket, server: socket.socket, asked: threading.Event) -> None:
        before = b""
        with suppress(OSError):
            while piece := client.recv(65536):
                chosen = self._chosen
                if chosen is not None and chosen in before + piece:
                    self._chosen = None
                    asked.set()
                before = piece[-_OVERLAP:]
                server.sendall(piece)
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    def _answers(self, server: socket.socket, client: socket.socket, asked: threading.Event) -> None:
        with suppress(OSError):
            while piece := server.recv(65536):
                if asked.is_set():
                    asked.clear()
                    self.held.set()
                    self._open.wait(_LONGEST)
                client.sendall(piece)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
