"""The head of an answer goes out with what follows it."""

from typing import Any

from mlhub.common.connection import WholeAnswer


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def answer() -> tuple[Any, Transport]:
    transport = Transport()
    return WholeAnswer(transport), transport  # type: ignore[arg-type] # has what is called


def test_head_and_body_are_one_piece_and_later_ones_go_as_they_come() -> None:
    whole, transport = answer()
    whole.write(b"HTTP/1.1 200 OK\r\n\r\n")
    assert transport.pieces == []
    whole.write(b"body")
    whole.write(b"more")
    assert transport.pieces == [b"HTTP/1.1 200 OK\r\n\r\nbody", b"more"]


def test_an_answer_without_a_body_goes_out() -> None:
    whole, transport = answer()
    whole.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    whole.write(b"")
    assert b"".join(transport.pieces) == b"HTTP/1.1 204 No Content\r\n\r\n"


def test_a_client_that_waits_to_send_on_is_told_at_once() -> None:
    whole, transport = answer()
    whole.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    whole.write(b"HTTP/1.1 200 OK\r\n\r\n")
    assert transport.pieces == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    whole.write(b"body")
    assert transport.pieces[1:] == [b"HTTP/1.1 200 OK\r\n\r\nbody"]


def test_what_was_begun_goes_out_before_the_connection_is_closed() -> None:
    whole, transport = answer()
    whole.write(b"HTTP/1.1 200 OK\r\n\r\n")
    whole.close()
    assert transport.pieces == [b"HTTP/1.1 200 OK\r\n\r\n"]
    assert whole.is_closing()
