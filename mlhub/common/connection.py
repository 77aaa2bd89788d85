"""Connections of MLHub's servers, from their first byte: who is heard, for how long, and by whom."""

import asyncio
import sys
from http import HTTPStatus
from typing import Any, Final

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mlhub.common.shortcut import Exchange, Shortcut

_SILENT: Final = 60.0
"""Seconds a client may say nothing in the middle of a request."""
_HEAD_BYTES: Final = 65536
"""Bytes that a request's line and headers may have."""
_CONTINUE: Final = b"HTTP/1.1 100 "
"""Begins what a client that waits for it is told before its answer."""
_BAD_REQUEST: Final = 400
_NEWEST: Final = "1.1"
_VERSIONS: Final = ("1.0", _NEWEST)
_HOST: Final = b"host"
_CONNECT: Final = b"CONNECT"
_OFFERS: Final = frozenset({b"upgrade", b"http2-settings"})
"""What offers to speak another protocol: names of headers, and words in the header Connection."""


class _RefusedError(Exception):
    """Ends the reading of a connection that was told why."""


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
    """Gives up on clients that fall silent within a request, or never end its head.

    A request that the application's shortcut takes does not get to the application.
    """

    shortcut: Shortcut | None = None
    """Who answers past the application."""

    heard = 0.0
    """Time of the event loop at which the last bytes came."""
    head_open = True
    """Whether a request's head is not whole yet; true of a connection that has sent nothing, too."""
    head_size = 0
    """Bytes of a head that came in several pieces, as far as they are known to be part of it."""
    _offer_ended: int | None = None
    """Where in what came last a request ended that offers to speak another protocol."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.shortcut = getattr(self.app, "shortcut", None)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """Begin to listen."""
        super().connection_made(transport)
        self.heard = self.loop.time()

    def data_received(self, data: bytes) -> None:
        """Take in what came; refuse a head that does not end."""
        self.heard = self.loop.time()
        was_open = self.head_open
        super().data_received(data)
        if self._offer_ended is not None:
            self._decline(data[self._offer_ended :])
        if was_open and self.head_open:
            self.head_size += len(data)
            if self.head_size > _HEAD_BYTES and not self.transport.is_closing():
                self._refuse(431, "head_too_large", f"The request's headers exceed {_HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        self.head_open = True
        if self.shortcut is None:
            super().on_message_begin()
        else:
            # The rest is made when it is the application's turn.
            self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_headers_complete(self) -> None:
        """Have the request go the short way, or begin to ask the application."""
        self.head_open, self.head_size = False, 0
        if self.parser.get_method() == _CONNECT:
            self._refuse(501, "no_proxy", "This server is no proxy; ask it without CONNECT.")
            raise _RefusedError
        if self.parser.should_upgrade():
            return
        version = self.parser.get_http_version()
        if version not in _VERSIONS:
            self._refuse(505, "http_version", "This server speaks HTTP/1.1; ask it in that version.")
            raise _RefusedError
        if self.shortcut is not None:
            exchange = self._exchange(self.shortcut) if version == _NEWEST else None
            if exchange is not None:
                self.cycle = exchange
                return
            self._make_scope()
        if version == _NEWEST and [name for name, _ in self.headers].count(_HOST) != 1:
            # RFC 9112, 3.2: it may have been meant for somebody else.
            self._refuse(_BAD_REQUEST, "bad_host", "A request names its host once, in the header Host.")
            raise _RefusedError
        self._ask_application()

    def on_body(self, body: bytes) -> None:
        """Pass a piece of the body on."""
        exchange: Any = self.cycle
        if isinstance(exchange, Exchange):
            exchange.add(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Have a request that goes the short way answered, or ask the application after all."""
        if self.parser.should_upgrade():
            return
        exchange: Any = self.cycle
        if not isinstance(exchange, Exchange):
            super().on_message_complete()
            return
        body = exchange.whole()
        if self.shortcut is not None and not self.shortcut.begin(exchange, body):
            nobody: Any = None
            self.cycle = nobody
            self._make_scope()
            self._ask_application()
            # The parser knows it no more at the end of the message.
            self.cycle.keep_alive = exchange.keep_alive
            super().on_body(body)
            super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Note where the parser stopped at an offer to change the protocol; uvicorn warns, and goes on."""
        offer = sys.exception()
        if isinstance(offer, httptools.HttpParserUpgrade):
            self._offer_ended = offer.args[0]

    def _decline(self, rest: bytes) -> None:
        """Go on in HTTP/1.1, as a server may: some clients offer more with each request (RFC 9110, 7.8).

        The parser takes all that follows for the other protocol, the body included. So another one gets the
        same request without the offer.
        """
        self._offer_ended = None
        lines = [
            b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        ]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                value = b", ".join(token for token in tokens if token.lower() not in _OFFERS)  # noqa: PLW2901
            if name not in _OFFERS and value:
                lines.append(b"%b: %b" % (name, value))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"\r\n".join((*lines, b"", rest)))

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio's own, which uvicorn narrows
        """Keep a connection whose client has only said that it sends no more, until it is answered."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body or self.head_size:
            return False
        cycle.keep_alive = False
        return True

    def on_response_complete(self) -> None:
        """Go on with what the client sent meanwhile.

        uvicorn has a timer for each connection that it makes and drops with each request. Here, whoever looks
        for silent clients looks for idle connections, too.
        """
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.heard = self.loop.time()
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def _exchange(self, shortcut: Shortcut) -> Any:
        """Return what a request is on the short way; nothing where it cannot go there."""
        before = self.cycle
        if (before is not None and not before.response_complete) or self.flow.write_paused:
            # The client sends on before it has its answer, or does not read it.
            return None
        claim = shortcut.takes(self.parser.get_method(), self.url, self.headers)
        if claim is None:
            return None
        return Exchange(self, claim, keep_alive=self.parser.should_keep_alive())

    def _make_scope(self) -> None:
        """Do what uvicorn does when a request begins."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)

    def _ask_application(self) -> None:
        super().on_headers_complete()
        # An answer to HEAD has nothing that follows.
        if self.cycle is not None and self.scope["method"] != "HEAD":
            whole: Any = WholeAnswer(self.cycle.transport)
            self.cycle.transport = whole

    def is_left(self, time: float) -> bool:
        """Tell whether the client has been silent for too long, within a request or since its last answer."""
        return self.is_silent(time - _SILENT) or self._is_idle(time - self.timeout_keep_alive)

    def _is_idle(self, since: float) -> bool:
        return self.cycle is not None and self.cycle.response_complete and self.heard <= since

    def is_silent(self, since: float) -> bool:
        """Tell whether it is the client's turn, and it has said nothing since a time of the event loop."""
        if self.heard > since or self.flow is None or self.flow.read_paused:
            return False
        return self.cycle is None or self.head_size > 0 or self.cycle.more_body

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the form of all errors."""
        if not self.transport.is_closing():
            self._refuse(_BAD_REQUEST, "bad_request", msg)

    def _refuse(self, status: int, code: str, detail: str) -> None:
        title = HTTPStatus(status).phrase
        body = msgspec.json.encode(
            {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail}
        )
        head = (
            f"HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
