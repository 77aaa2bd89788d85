"""Cuts what a broker sends into frames of AMQP 0-9-1.

py-amqp reads each frame with three calls to the system; whoever reads all there is at once needs this.
A frame is: type (1 byte), channel (2), size of the payload (4), payload, and the byte 0xCE
(AMQP 0-9-1 specification, section 2.3.5).
"""

import struct
from collections.abc import Iterator
from typing import Final

Frame = tuple[int, int, bytes]
"""Type, channel and payload, as py-amqp takes it."""

_HEAD: Final = struct.Struct(">BHI")
_END: Final = 0xCE


class FrameSplitter:
    """Bytes in, frames out; keeps what is not whole yet."""

    def __init__(self) -> None:
        self._data = b""
        self._position = 0

    def feed(self, data: bytes) -> None:
        """Add what was received."""
        if self._position == len(self._data):
            self._data = data
        else:
            self._data = self._data[self._position :] + data
        self._position = 0

    def next(self) -> Frame | None:
        """Return the next whole frame, or nothing until more is fed.

        Raises:
            ConnectionError: these are no frames; the connection is of no more use.
        """
        start = self._position + _HEAD.size
        if start > len(self._data):
            return None
        kind, channel, size = _HEAD.unpack_from(self._data, self._position)
        end = start + size
        if end >= len(self._data):
            return None
        if self._data[end] != _END:
            raise ConnectionError("What the broker sends is no AMQP.")
        self._position = end + 1
        return kind, channel, self._data[start:end]

    @property
    def missing(self) -> int:
        """Bytes to feed at least before there can be another whole frame; what is to come may need more."""
        there = len(self._data) - self._position
        if there < _HEAD.size:
            return _HEAD.size - there
        _, _, size = _HEAD.unpack_from(self._data, self._position)
        return max(0, _HEAD.size + int(size) + 1 - there)

    def __iter__(self) -> Iterator[Frame]:
        """Yield all whole frames."""
        while (frame := self.next()) is not None:
            yield frame
