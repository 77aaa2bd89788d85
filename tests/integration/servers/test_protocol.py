"""What clients send that is no request, or never becomes one."""

import socket
from typing import Any
from urllib.parse import urlsplit

from mlhub.common.connection import ListeningProtocol


def talk(url: str, data: bytes) -> bytes:
    """Send bytes and return all that comes back."""
    with socket.create_connection(("127.0.0.1", urlsplit(url).port), timeout=60) as connection:
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_what_is_no_http_is_refused_as_a_problem(server: Any) -> None:
    answer = talk(server.url, b"what is this\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer
    assert server.get("/v2").ok


def test_a_head_that_does_not_end_is_refused(server: Any) -> None:
    head = b"GET /v2 HTTP/1.1\r\nHost: test\r\nX-More: "
    # To the byte: what the server leaves unread would have the connection reset, and its answer with it.
    answer = talk(server.url, head + b"x" * (65537 - len(head)))
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"head_too_large" in answer
    assert server.get("/v2").ok


class _Flow:
    read_paused = False


def test_only_a_client_whose_turn_it_is_can_be_silent() -> None:
    protocol = ListeningProtocol.__new__(ListeningProtocol)
    protocol.flow = _Flow()  # type: ignore[assignment]
    protocol.cycle = None  # type: ignore[assignment]
    protocol.heard = 10.0
    assert protocol.is_silent(11.0), "it has connected and sent nothing"
    assert not protocol.is_silent(9.0), "it has just sent something"

    class Cycle:
        more_body = True

    protocol.cycle = Cycle()  # type: ignore[assignment]
    assert protocol.is_silent(11.0), "the rest of its body is missing"
    protocol.cycle.more_body = False
    assert not protocol.is_silent(11.0), "its request is whole: it waits for the answer"
    protocol.cycle.more_body = True
    protocol.flow.read_paused = True
    assert not protocol.is_silent(11.0), "the server does not read at the moment"
