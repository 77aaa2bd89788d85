"""Requests go past the application or to it, and nobody can tell from the answers."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from uvicorn import Config
from uvicorn.server import ServerState

from mlhub.common.connection import ListeningProtocol
from mlhub.common.shortcut import Exchange, Headers

DATE: Final = (b"date", b"today")


class Quick:
    """Takes requests for `/quick`, and leaves those with the body `no` to the application after all."""

    def __init__(self) -> None:
        self.begun: list[tuple[Exchange, bytes]] = []

    def takes(self, method: bytes, target: bytes, headers: Headers) -> bytes | None:
        return method if target == b"/quick" and (b"x-slow", b"1") not in headers else None

    def begin(self, exchange: Exchange, body: bytes) -> bool:
        if body == b"no":
            return False
        self.begun.append((exchange, body))
        return True

    def answer(self, text: bytes = b"quick") -> None:
        exchange, body = self.begun.pop(0)
        exchange.answer(200, b"content-type: text/plain\r\n", text + b":" + body)


class App:
    """Says what it was asked."""

    def __init__(self) -> None:
        self.shortcut = Quick()
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope)
        body, more = b"", True
        while more:
            event = await receive()
            body += event.get("body", b"")
            more = event.get("more_body", False)
        text = b"app:" + body
        length = (b"content-length", str(len(text)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": text})


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = self.paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Connection:
    """One connection, and both ends of what answers it."""

    def __init__(self) -> None:
        self.app = App()
        config = Config(self.app, lifespan="off", log_config=None, proxy_headers=False, timeout_keep_alive=5)
        config.load()
        state = ServerState()
        state.default_headers = [DATE]
        self.protocol = ListeningProtocol(config, state, {}, asyncio.get_running_loop())
        self.transport = Transport()
        self.protocol.connection_made(self.transport)

    @property
    def quick(self) -> Quick:
        return self.app.shortcut

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.protocol.data_received(piece)
        await settle()

    def answers(self) -> list[bytes]:
        """Return the bodies of all answers, in order."""
        found, rest = [], self.transport.written
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
            length = int(fields[b"content-length"])
            found.append(rest[:length])
            rest = rest[length:]
        return found


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def wrapped() -> None:
        asyncio.run(test())

    return wrapped


def request(body: bytes = b"hello", *, target: bytes = b"/quick", more: bytes = b"", minor: int = 1) -> bytes:
    return b"POST %b HTTP/1.%d\r\nHost: here\r\nContent-Length: %d\r\n%b\r\n%b" % (
        target,
        minor,
        len(body),
        more,
        body,
    )


@run
async def test_what_the_shortcut_takes_does_not_get_to_the_application() -> None:
    connection = Connection()
    await connection.send(request())
    assert connection.transport.written == b""
    connection.quick.answer()
    assert connection.transport.written == (
        b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-type: text/plain\r\ncontent-length: 11\r\n\r\nquick:hello"
    )
    assert connection.app.asked == []
    assert not connection.transport.closed


@run
async def test_all_else_gets_there_as_it_was_sent() -> None:
    connection = Connection()
    await connection.send(request(b"one", target=b"/else"))
    await connection.send(request(b"two", more=b"X-Slow: 1\r\n"))
    await connection.send(request(b"three", minor=0))
    assert connection.answers() == [b"app:one", b"app:two", b"app:three"]
    assert [scope["http_version"] for scope in connection.app.asked] == ["1.1", "1.1", "1.0"]
    assert connection.app.asked[1]["headers"] == [
        (b"host", b"here"),
        (b"content-length", b"3"),
        (b"x-slow", b"1"),
    ]
    assert connection.quick.begun == []


@run
async def test_the_application_is_asked_when_the_shortcut_does_not_want_the_body() -> None:
    connection = Connection()
    await connection.send(request(b"no"))
    assert connection.answers() == [b"app:no"]
    (scope,) = connection.app.asked
    assert (scope["method"], scope["path"]) == ("POST", "/quick")
    assert scope["headers"] == [(b"host", b"here"), (b"content-length", b"2")]
    await connection.send(request(b"yes"))
    connection.quick.answer()
    assert connection.answers() == [b"app:no", b"quick:yes"]


@run
async def test_a_request_in_pieces_is_put_together() -> None:
    for body, by in ((b"hello", b"quick:"), (b"no", b"app:")):
        connection = Connection()
        await connection.send(*(bytes([byte]) for byte in request(body)))
        if connection.quick.begun:
            connection.quick.answer()
        assert connection.answers() == [by + body]


@run
async def test_answers_come_in_the_order_of_the_requests() -> None:
    connection = Connection()
    await connection.send(request(b"1") + request(b"2") + request(b"3", target=b"/else") + request(b"no"))
    assert connection.transport.written == b"", "the first is not answered yet"
    assert connection.transport.paused, "nor is more read until it is"
    connection.quick.answer()
    await settle()
    assert connection.answers() == [b"quick:1", b"app:2", b"app:3", b"app:no"]
    assert not connection.transport.paused
    await connection.send(request(b"5"))
    connection.quick.answer()
    assert connection.answers()[4:] == [b"quick:5"]


@run
async def test_a_connection_ends_when_the_client_or_the_server_wants_it() -> None:
    connection = Connection()
    await connection.send(request(more=b"Connection: close\r\n"))
    connection.quick.answer()
    assert b"connection: close\r\n" in connection.transport.written
    assert connection.transport.closed

    connection = Connection()
    await connection.send(request())
    connection.protocol.shutdown()
    assert not connection.transport.closed, "what was begun is answered"
    connection.quick.answer()
    assert connection.answers() == [b"quick:hello"]
    assert connection.transport.closed


@run
async def test_the_last_request_of_a_connection_may_be_for_the_application() -> None:
    connection = Connection()
    await connection.send(request(b"no", more=b"Connection: close\r\n"))
    assert connection.answers() == [b"app:no"]
    assert connection.transport.closed


@run
async def test_a_client_that_has_said_all_gets_its_answer() -> None:
    for body in (b"hello", b"no"):
        connection = Connection()
        connection.protocol.data_received(request(body))
        assert connection.protocol.eof_received()
        await settle()
        if body == b"hello":
            connection.quick.answer()
        assert len(connection.answers()) == 1
        assert connection.transport.closed

    connection = Connection()
    await connection.send(request()[:-1])
    assert not connection.protocol.eof_received(), "the rest of its body will not come"
    assert not Connection().protocol.eof_received(), "it has asked nothing"


@run
async def test_other_protocols_are_declined() -> None:
    for body in (b"hello", b"no", b""):
        for offer in (
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
            b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n",
        ):
            data = request(body, more=offer) + request(b"no")
            for pieces in ([data], [bytes([byte]) for byte in data]):
                connection = Connection()
                await connection.send(*pieces)
                if connection.quick.begun:
                    connection.quick.answer()
                    await settle()
                assert connection.answers() == [b"app:no" if body == b"no" else b"quick:" + body, b"app:no"]
                assert not connection.transport.closed


@run
async def test_what_is_not_for_this_server_is_refused() -> None:
    for data, status in (
        (b"CONNECT here:1 HTTP/1.1\r\nHost: here\r\n\r\n", b"501"),
        (request().replace(b"HTTP/1.1", b"HTTP/2.0"), b"505"),
        (request(target=b"/else").replace(b"Host: here\r\n", b""), b"400"),
        (request(target=b"/else").replace(b"Host: here\r\n", b"Host: here\r\nHost: there\r\n"), b"400"),
        (b"what is this\r\n\r\n", b"400"),
    ):
        connection = Connection()
        await connection.send(data)
        assert connection.transport.written.startswith(b"HTTP/1.1 %b " % status)
        assert connection.transport.written.count(b"HTTP/1.1 ") == 1
        assert connection.transport.closed
        assert connection.app.asked == []


@run
async def test_who_has_gone_is_told_nothing() -> None:
    connection = Connection()
    await connection.send(request())
    connection.protocol.connection_lost(None)
    connection.quick.answer()
    assert connection.transport.written == b""


@run
async def test_who_does_not_read_answers_gets_no_quick_ones() -> None:
    connection = Connection()
    connection.protocol.pause_writing()
    await connection.send(request())
    assert connection.quick.begun == []
    assert connection.transport.written == b""
    connection.protocol.resume_writing()
    await settle()
    assert connection.answers() == [b"app:hello"]


@run
async def test_connections_are_left_after_their_time() -> None:
    connection = Connection()
    protocol = connection.protocol
    await connection.send(request())
    assert not protocol.is_left(protocol.heard + 1000), "it waits for its answer"
    connection.quick.answer()
    assert not protocol.is_left(protocol.heard + 4)
    assert protocol.is_left(protocol.heard + 6), "it has been idle for longer than connections are kept"
    await connection.send(request()[:-1])
    assert not protocol.is_left(protocol.heard + 59)
    assert protocol.is_left(protocol.heard + 61), "a second request is not whole"
    await connection.send(request(target=b"/else")[-1:])
    assert not protocol.is_left(protocol.heard + 1000), "it waits, too"
