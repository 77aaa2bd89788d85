"""A wire between the hub and a server that can be cut: what is sent meanwhile arrives nowhere, and nobody is told."""

import selectors
import socket
import threading
from contextlib import suppress
from typing import Final

_PIECE: Final = 256 * 1024


class Wire:
    """Passes connections on to a server of this machine."""

    def __init__(self, target: int, server: socket.socket | None = None) -> None:
        """Begin.

        Args:
            target: the server's port.
            server: takes the connections; one of this host, unless given.
        """
        self._target = target
        self._whole = threading.Event()
        self._whole.set()
        self._server = server or socket.create_server(("127.0.0.1", 0))
        host, port = self._server.getsockname()
        self.address = f"{host}:{port}"
        """Where it takes connections."""
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._ending = False
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self) -> None:
        """Let nothing through."""
        self._whole.clear()

    def mend(self) -> None:
        """Let everything through, what was sent meanwhile first."""
        self._whole.set()

    def stop(self) -> None:
        """End it, with all connections."""
        self._ending = True
        self._whole.set()
        # Wakes the thread that accepts, which closing alone does not.
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._server.close()
        with self._lock:
            still = list(self._open)
        for one in still:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                if self._ending:
                    return
                raise
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        self._whole.wait()
        with client:
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                return
            with server:
                server.settimeout(None)
                for one in (client, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._open |= {client, server}
                try:
                    self._pass_on(client, server)
                except OSError:
                    # One side is gone: so is the other, now.
                    pass
                finally:
                    with self._lock:
                        self._open -= {client, server}

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        other = {client: server, server: client}
        with selectors.DefaultSelector() as ready:
            for one in other:
                ready.register(one, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    data = source.recv(_PIECE)
                    self._whole.wait()
                    if not data:
                        return
                    other[source].sendall(data)
