"""The way past the application, for requests whose answer costs less than asking the application does.

For each request, uvicorn makes a task, a scope, an event and a handful of coroutines. For one that needs a
moment's work and then waits for its answer, these cost more than all the rest; what comes this way is an
object or two, and its answer is one write.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

Headers = Sequence[tuple[bytes, bytes]]
"""Names, in lower case, and values."""


class _Nobody:
    """Who waits for news of an exchange."""

    def set(self) -> None:
        """Tell them."""


class Exchange:
    """A request that goes past the application, and its answer; to its connection it is like all others."""

    __slots__ = (
        "_pieces",
        "_protocol",
        "claim",
        "disconnected",
        "keep_alive",
        "more_body",
        "response_complete",
    )

    message_event: ClassVar = _Nobody()

    def __init__(self, protocol: HttpToolsProtocol, claim: Any, *, keep_alive: bool) -> None:
        self._protocol = protocol
        self._pieces: list[bytes] = []
        self.claim = claim
        """What was noted of its head."""
        self.keep_alive = keep_alive
        """Whether the connection stays; uvicorn says when it shall not."""
        self.more_body = True
        self.response_complete = False
        self.disconnected = False

    def add(self, piece: bytes) -> None:
        """Take in a piece of the body."""
        self._pieces.append(piece)

    def whole(self) -> bytes:
        """Return the body; nothing follows."""
        self.more_body = False
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def answer(self, status: int, head: bytes, body: bytes) -> None:
        """Answer it; called once.

        Args:
            status: of HTTP.
            head: lines of the headers, each with its end, but for those that every answer has.
            body: all of it.
        """
        protocol = self._protocol
        self.response_complete = True
        if self.disconnected or protocol.transport.is_closing():
            return
        usual = b"".join([b"%b: %b\r\n" % header for header in protocol.server_state.default_headers])
        end = b"" if self.keep_alive else b"connection: close\r\n"
        protocol.transport.write(
            b"%b%b%b%bcontent-length: %d\r\n\r\n%b" % (STATUS_LINE[status], usual, head, end, len(body), body)
        )
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()


class Shortcut(Protocol):
    """Whoever answers requests past the application; an application that has one has it as `shortcut`."""

    def takes(self, method: bytes, target: bytes, headers: Headers) -> Any | None:
        """Look at a head.

        Returns:
            What is to be known of it later; nothing leaves the request to the application.
        """

    def begin(self, exchange: Exchange, body: bytes) -> bool:
        """Begin to answer a request that is there as a whole, now or later.

        Returns:
            Whether it will be answered; otherwise it goes to the application, as if it had just come.
        """
