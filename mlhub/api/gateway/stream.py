"""The socket of a broker connection, worked by the event loop instead of a thread.

py-amqp makes the connection and understands what comes over it; only its blocking reads and writes are
replaced. So a reply resolves its requests in the very wake-up in which it arrives.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final

from mlhub.common.frames import FrameSplitter

_PIECE: Final = 256 * 1024
_TICK: Final = 1.0
"""Seconds between two looks at the heartbeat."""
_LATER: Final = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""What a socket says that can do nothing now."""


class Stream:
    """Reads frames when they come, and writes without ever waiting."""

    def __init__(self, connection: Any, lost: Callable[[Exception], None]) -> None:
        """Take over the socket.

        Args:
            connection: py-amqp's connection, complete.
            lost: called once, when it is of no more use.
        """
        self._connection = connection
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._socket: Any = connection.sock
        self._frames = FrameSplitter()
        self._unsent = bytearray()
        self._open = True
        self._socket.setblocking(False)  # noqa: FBT003 (the system's own signature)
        # Where py-amqp's transport writes its frames to.
        connection.transport._write = self._write  # noqa: SLF001
        self._loop.add_reader(self._socket, self._read)
        self._timer = self._loop.call_later(_TICK, self._tick)
        # Encrypted bytes may have been read with those before them.
        self._loop.call_soon(self._read)

    @property
    def is_open(self) -> bool:
        """Whether the event loop still works it."""
        return self._open

    def close(self) -> None:
        """Let go of the socket."""
        if self._open:
            self._open = False
            self._timer.cancel()
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)

    def fail(self, error: Exception) -> None:
        """Give the connection up."""
        if self._open:
            self.close()
            self._lost(error)

    def _read(self) -> None:
        while self._open:
            try:
                data = self._socket.recv(_PIECE)
            except _LATER:
                return
            except OSError as error:
                self.fail(error)
                return
            if not data:
                self.fail(ConnectionResetError("The broker closed the connection."))
                return
            self._take(data)
            if len(data) < _PIECE and not isinstance(self._socket, ssl.SSLSocket):
                # That was all; what comes now wakes the loop again.
                return

    def _take(self, data: bytes) -> None:
        self._frames.feed(data)
        try:
            for frame in self._frames:
                self._connection.on_inbound_frame(frame)
                if not self._open:
                    return
        except self._connection.connection_errors + self._connection.channel_errors as error:
            self.fail(error)

    def _write(self, data: Any) -> None:
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self._socket.send(data)
        except _LATER:
            sent = 0
        if sent < len(data):
            self._unsent += data[sent:]
            self._loop.add_writer(self._socket, self._write_rest)

    def _write_rest(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except _LATER:
            return
        except OSError as error:
            self.fail(error)
            return
        del self._unsent[:sent]
        if not self._unsent:
            self._loop.remove_writer(self._socket)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(_TICK, self._tick)
        try:
            self._connection.heartbeat_tick()
        except (*self._connection.connection_errors, OSError) as error:
            self.fail(error)
