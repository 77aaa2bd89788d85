"""kombu's AMQP transport, with reads of all there is instead of three for each frame.

Its socket's time-out never changes, either: the stock transport sets it to zero for every look, which would
make a reply that another thread writes at that moment fail as soon as the socket's buffer is full.
"""

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

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
            return bytes(self.sock.recv(_PIECE, flags))
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
