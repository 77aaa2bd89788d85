"""kombu's AMQP transport, with reads of all there is instead of three for each frame.

Its socket's time-out never changes, either: the stock transport sets it to zero for every look, which would
make a reply that another thread writes at that moment fail as soon as the socket's buffer is full.
"""

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from amqp.exceptions import RecoverableConnectionError
from amqp.transport import TCPTransport
from kombu.transport import pyamqp

from mlhub.common.frames import Frame, FrameSplitter

NAME: Final = "mlhub.workers.transport:BufferedTransport"
"""What Celery's setting `broker_transport` takes."""

_PIECE: Final = 256 * 1024


class BufferedSocket(TCPTransport):
    """py-amqp's socket."""

    def _setup_transport(self) -> None:
        super()._setup_transport()
        self._frames = FrameSplitter()
        self._timeout: float | None = None
        self._greedy = False

    @contextmanager
    def reading_ahead(self) -> Iterator[None]:
        """Take more than a frame from the socket; whoever does has to handle all frames that are whole.

        Otherwise nothing stays here that the socket would not tell of: a loop that waits for it would sleep.
        """
        before, self._greedy = self._greedy, True
        try:
            yield
        finally:
            self._greedy = before

    @contextmanager
    def having_timeout(self, timeout: float | None) -> Iterator[Any]:
        """Bound the reads within by `timeout` seconds; 0 takes what is there, nothing waits for ever."""
        before, self._timeout = self._timeout, timeout
        try:
            yield self.sock
        finally:
            self._timeout = before

    def read_frame(self, unpack: Any = None) -> Frame:
        """Return the next frame.

        Raises:
            TimeoutError: none came in time.
            OSError: the connection is lost.
        """
        del unpack
        while (frame := self._frames.next()) is None:
            data = self._receive()
            if not data:
                self.connected = False
                raise ConnectionResetError("The broker closed the connection.")
            self._frames.feed(data)
        return frame

    def _receive(self) -> bytes:
        if self._timeout:
            poll = select.poll()
            poll.register(self.sock, select.POLLIN)
            poll.poll(self._timeout * 1000)
        flags = 0 if self._timeout is None else socket.MSG_DONTWAIT
        try:
            return bytes(self.sock.recv(_PIECE if self._greedy else self._frames.missing, flags))
        except BlockingIOError:
            raise TimeoutError("Nothing came from the broker in time.") from None
        except OSError:
            self.connected = False
            raise


class BufferedConnection(pyamqp.Connection):
    """py-amqp's connection over such a socket."""

    def Transport(  # noqa: N802 (py-amqp's name)
        self,
        host: str,
        connect_timeout: float | None,
        ssl: Any = False,  # noqa: FBT002 (py-amqp's signature)
        read_timeout: float | None = None,
        write_timeout: float | None = None,
        **options: Any,
    ) -> BufferedSocket:
        """Make the socket; it is never encrypted."""
        del ssl
        return BufferedSocket(
            host,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            write_timeout=write_timeout,
            **options,
        )


class BufferedTransport(pyamqp.Transport):
    """kombu's transport over such connections; for addresses that begin with `amqp://`."""

    Connection = BufferedConnection

    def on_readable(self, connection: BufferedConnection, loop: Any) -> None:
        """Handle all messages that are there; Celery's event loop calls this when the socket has something.

        kombu's own handles one and has the loop call it again, after it has looked at the sockets. They tell
        nothing of what was read already, and the loop would sleep until something else comes.
        """
        del loop
        if not connection.connected:
            raise RecoverableConnectionError("The connection to the broker is lost.")
        with connection.transport.reading_ahead(), suppress(TimeoutError):
            while True:
                connection.drain_events(timeout=0)
