"""Plain predictions over all that HTTP allows, and over what it does not: by bytes on a connection."""

import http.client
import io
import json
import random
import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, BinaryIO, Final
from urllib.parse import urlsplit

import numpy as np
import pytest

LONG: Final = "X-Anything: else"
"""A header that the short way does not know: the request takes the long one."""
WAYS: Final = pytest.mark.parametrize("way", [(), (LONG,)], ids=["short", "long"])
CHUNKED: Final = "Transfer-Encoding: chunked"
H2C: Final = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
"""How curl --http2 and Java's HttpClient begin on a connection without TLS."""


class Answer:
    """One answer, read from a connection that others may follow on."""

    def __init__(self, stream: BinaryIO, method: str) -> None:
        answer = http.client.HTTPResponse(_Whole(stream), method=method)  # type: ignore[arg-type]
        answer.begin()
        self.status = answer.status
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        self.body = answer.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def output(self) -> Any:
        assert self.status == 200, self.body
        return self.json["output"]


class _Whole(io.BufferedIOBase):
    """A stream that `http.client` may close without ending the connection."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.read = stream.read  # type: ignore[assignment]
        self.readline = stream.readline  # type: ignore[assignment]
        self.readinto = stream.readinto  # type: ignore[attr-defined]

    def makefile(self, _: str) -> "_Whole":
        return _Whole(self._stream)


class Wire:
    """A connection on which bytes are sent as they are."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.stream = connection.makefile("rb")

    def send(self, *pieces: bytes) -> "Wire":
        for piece in pieces:
            self.socket.sendall(piece)
        return self

    def answer(self, method: str = "POST") -> Answer:
        return Answer(self.stream, method)

    def is_ended(self) -> bool:
        """Wait for the end of the connection, and tell whether nothing came before it."""
        return self.stream.read() == b""


@contextmanager
def connected(hub: Any) -> Iterator[Wire]:
    with socket.create_connection(("127.0.0.1", urlsplit(hub.url).port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire = Wire(connection)
        with wire.stream:
            yield wire


def head(
    *headers: str, length: int | None, path: str = "/model/digits/predict", line: str = "POST {} HTTP/1.1"
) -> bytes:
    lines = [line.format(path), "Host: hub", "Content-Type: application/json", *headers]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def request(body: bytes, *headers: str, **parts: str) -> bytes:
    return head(*headers, length=len(body), **parts) + body


def chunks(*pieces: bytes, extension: bytes = b"", trailers: bytes = b"") -> bytes:
    framed = [b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces]
    return b"".join(framed) + b"0\r\n" + trailers + b"\r\n"


@pytest.fixture(scope="module")
def order(digits: Any) -> Callable[[int], bytes]:
    """Make the body that asks for the digit on one of the pictures."""
    bodies = [json.dumps({"input": row}).encode() for row in digits.rows.tolist()]
    return lambda place: bodies[place]


@pytest.fixture
def wire(hub: Any, published: str, order: Callable[[int], bytes]) -> Iterator[Wire]:
    """A connection to a process of the API that knows the model's route, so that the short way is open."""
    with connected(hub) as wire:
        assert wire.send(request(order(0))).answer().status == 200
        yield wire


def test_pipelined_requests_are_answered_in_their_order(
    wire: Wire, digits: Any, order: Callable[[int], bytes]
) -> None:
    places = range(20)
    wire.send(b"".join(request(order(place), f"X-Request-ID: order-{place}") for place in places))
    answers = [wire.answer() for _ in places]
    assert [answer.output for answer in answers] == digits.expected[:20]
    assert [answer.headers["x-request-id"] for answer in answers] == [f"order-{place}" for place in places]


def test_pipelined_requests_of_all_kinds_keep_their_places(
    wire: Wire, digits: Any, order: Callable[[int], bytes]
) -> None:
    sent = [
        (request(order(0)), "POST", 200),
        (b"GET /model/digits HTTP/1.1\r\nHost: hub\r\n\r\n", "GET", 200),
        (request(b'{"input": [1, 2, 3]}'), "POST", 422),
        (request(order(1), LONG), "POST", 200),
        (request(b"", line="HEAD {} HTTP/1.1"), "HEAD", 405),
        (request(order(0), path="/model/nobody/predict"), "POST", 404),
        (head(CHUNKED, length=None) + chunks(order(2)), "POST", 200),
        (request(b"{"), "POST", 400),
        (request(order(3)), "POST", 200),
    ]
    wire.send(b"".join(data for data, _, _ in sent))
    answers = [wire.answer(method) for _, method, _ in sent]
    assert [answer.status for answer in answers] == [status for _, _, status in sent]
    assert [answers[place].output for place in (0, 3, 6, 8)] == digits.expected[:4]


@WAYS
def test_requests_may_be_cut_anywhere(
    wire: Wire, digits: Any, order: Callable[[int], bytes], way: tuple[str, ...]
) -> None:
    random_places = random.Random(7)
    data = b"".join(request(order(place), *way) for place in range(10))
    cuts = sorted(random_places.sample(range(len(data)), 60))
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        wire.send(data[begin:end])
    assert [wire.answer().output for _ in range(10)] == digits.expected[:10]


@WAYS
def test_a_request_may_come_byte_by_byte(
    wire: Wire, digits: Any, order: Callable[[int], bytes], way: tuple[str, ...]
) -> None:
    data = request(order(1), *way)
    assert (
        wire.send(*(data[place : place + 1] for place in range(len(data)))).answer().output
        == digits.expected[1]
    )


@WAYS
def test_the_head_may_come_long_before_the_body(
    hub: Any, wire: Wire, digits: Any, order: Callable[[int], bytes], way: tuple[str, ...]
) -> None:
    body = order(1)
    wire.send(head(*way, length=len(body)))
    with connected(hub) as other:
        assert other.send(request(order(2))).answer().output == digits.expected[2], "nobody waits for it"
    wire.send(body[:9])
    assert wire.send(body[9:]).answer().output == digits.expected[1]


@WAYS
def test_bodies_come_in_chunks_with_all_that_belongs_to_them(
    wire: Wire, digits: Any, order: Callable[[int], bytes], way: tuple[str, ...]
) -> None:
    body = order(1)
    bytewise = [body[place : place + 1] for place in range(len(body))]
    forms = [
        chunks(body),
        chunks(body[:5], body[5:]),
        chunks(*bytewise),
        chunks(body, extension=b";name=value"),
        chunks(body, trailers=b"X-Trailer: 1\r\n"),
    ]
    for form in forms:
        assert wire.send(head(CHUNKED, *way, length=None), form).answer().output == digits.expected[1]
    halves = (form[: len(form) // 2] for form in forms), (form[len(form) // 2 :] for form in forms)
    for first, second in zip(*halves, strict=True):
        wire.send(head(CHUNKED, *way, length=None) + first)
        assert wire.send(second).answer().output == digits.expected[1]


@WAYS
def test_an_answer_to_http_1_0_ends_with_the_connection(
    wire: Wire, digits: Any, order: Callable[[int], bytes], way: tuple[str, ...]
) -> None:
    answer = wire.send(request(order(1), *way, line="POST {} HTTP/1.0")).answer()
    assert answer.output == digits.expected[1]
    assert "transfer-encoding" not in answer.headers, "HTTP/1.0 has no chunks"
    assert wire.is_ended()


@WAYS
@pytest.mark.parametrize("value", ["close", "Close", "close, x-other"])
def test_a_connection_is_closed_when_the_client_asks_for_it(
    wire: Wire, digits: Any, order: Callable[[int], bytes], way: tuple[str, ...], value: str
) -> None:
    answer = wire.send(request(order(1), f"Connection: {value}", *way)).answer()
    assert answer.output == digits.expected[1]
    assert answer.headers["connection"] == "close"
    assert wire.is_ended()


@WAYS
def test_a_connection_is_kept_whatever_was_answered(
    wire: Wire, digits: Any, order: Callable[[int], bytes], way: tuple[str, ...]
) -> None:
    faults = [
        (request(b'{"input": "x"}', *way), 422),
        (request(order(0), *way, path="/model/nobody/predict"), 404),
        (request(order(0), *way, line="PATCH {} HTTP/1.1"), 405),
        (request(order(0), "Content-Type: text/plain", *way), 415),
        (request(b"", *way), 400),
        (request(order(0), "Prefer: wait=x", *way, path="/no/such/place"), 404),
        (request(b"x" * 200_000, "Content-Type: text/plain", *way), 415),
    ]
    for data, status in faults:
        assert wire.send(data).answer().status == status
        assert (
            wire.send(request(order(1), "Connection: keep-alive", *way)).answer().output == digits.expected[1]
        )


@WAYS
def test_a_client_that_expects_100_is_told_to_go_on(
    wire: Wire, digits: Any, order: Callable[[int], bytes], way: tuple[str, ...]
) -> None:
    body = order(1)
    for _ in range(2):
        wire.send(head("Expect: 100-continue", *way, length=len(body)))
        assert wire.stream.readline().startswith(b"HTTP/1.1 100 ")
        assert wire.stream.readline() == b"\r\n"
        assert wire.send(body).answer().output == digits.expected[1]
    # Nobody has to wait for it: http.client passes over it.
    assert wire.send(request(body, "Expect: 100-Continue", *way)).answer().output == digits.expected[1]
    assert wire.send(request(body, *way)).answer().output == digits.expected[1]


def test_head_has_no_body(wire: Wire, digits: Any, order: Callable[[int], bytes]) -> None:
    for path in ("/model/digits/download", "/model/digits/predict", "/health/live"):
        answer = wire.send(head(length=None, path=path, line="HEAD {} HTTP/1.1")).answer("HEAD")
        assert answer.body == b""
        assert wire.send(request(order(1))).answer().output == digits.expected[1], path


@WAYS
def test_addresses_may_be_written_otherwise(
    wire: Wire, digits: Any, order: Callable[[int], bytes], way: tuple[str, ...]
) -> None:
    for path in (
        "/model/d%69gits/predict",
        "http://hub.example:81/model/digits/predict",
        "/model/digits/predict?",
        "/model/digits/predict/",
        "/model/digits/predict?version=1",
    ):
        assert wire.send(request(order(1), *way, path=path)).answer().output == digits.expected[1], path


@WAYS
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/model/a%2fb/predict", 404),
        ("/model/..%2f..%2fetc%2fpasswd/predict", 404),
        ("/model/%2e%2e/predict", 422),
        ("/model/a%00b/predict", 422),
        ("/model/a%0d%0aX-More:1/predict", 422),
        ("/model/%ff%fe/predict", 422),
        ("/model/%C3%A9/predict", 422),
        ("/model//predict", 422),
        ("/model/" + "a" * 5000 + "/predict", 422),
        ("/model/digits/predict?version=%0d%0aX-More:1", 422),
        ("/model/digits/predict?" + "a=b&" * 1000, 200),
    ],
    ids=lambda value: str(value)[:40],
)
def test_addresses_that_lead_nowhere_are_refused(
    wire: Wire, order: Callable[[int], bytes], way: tuple[str, ...], path: str, status: int
) -> None:
    answer = wire.send(request(order(1), *way, path=path)).answer()
    assert answer.status == status, answer.body
    assert "x-more" not in answer.headers
    if status != 200:
        assert answer.json["status"] == status
    assert wire.send(request(order(1), *way)).answer().status == 200


@WAYS
def test_the_type_of_the_body_may_be_written_otherwise(
    wire: Wire, digits: Any, order: Callable[[int], bytes], way: tuple[str, ...]
) -> None:
    for line in ("Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"'):
        data = request(order(1), *way).replace(b"application/json", line.encode())
        assert wire.send(data).answer().output == digits.expected[1], line
    without = request(order(1), *way).replace(b"Content-Type: application/json\r\n", b"")
    assert wire.send(without).answer().output == digits.expected[1]
    shouting = request(order(1), *way).replace(b"Content-Type", b"CONTENT-TYPE")
    assert wire.send(shouting).answer().output == digits.expected[1]


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: -1",),
        ("Content-Length: abc",),
        ("Content-Length: +5",),
        ("Content-Length: 0x10",),
        ("Content-Length:",),
        ("Content-Length: 5, 5",),
        ("Content-Length: 99999999999999999999",),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: 5", CHUNKED),
        ("Transfer-Encoding: gzip",),
        ("Transfer-Encoding: chunked, gzip",),
        ("no colon",),
        ("X-Space : 1",),
        ("X-Nul: a\0b",),
    ],
    ids=str,
)
def test_a_head_that_is_no_http_is_a_bad_request(hub: Any, wire: Wire, headers: tuple[str, ...]) -> None:
    answer = wire.send(head(*headers, length=None)).answer()
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["code"] == "bad_request"
    assert wire.is_ended()
    assert hub.call("GET", "/health/live").ok


@pytest.mark.parametrize(
    "body", [b"zz\r\nabc\r\n", b"3\r\nabcX\r\n", b"fffffffffffffffff\r\nabc\r\n", b"-1\r\nabc\r\n"]
)
def test_chunks_that_are_none_are_a_bad_request(wire: Wire, body: bytes) -> None:
    answer = wire.send(head(CHUNKED, length=None), body).answer()
    assert (answer.status, answer.json["code"]) == (400, "bad_request")
    assert wire.is_ended()


@WAYS
def test_a_body_longer_than_announced_is_not_the_next_request(
    wire: Wire, digits: Any, order: Callable[[int], bytes], way: tuple[str, ...]
) -> None:
    wire.send(request(order(1), *way) + b'"more": 1}')
    statuses = [wire.answer()]
    if statuses[0].status == 200:
        assert statuses[0].output == digits.expected[1]
        statuses.append(wire.answer())
    assert statuses[-1].status == 400
    assert wire.is_ended()


@WAYS
@pytest.mark.parametrize("size", [1_000_000, 17_000_000], ids=["fits", "too large"])
def test_large_bodies_are_taken_or_refused_whole(
    wire: Wire, digits: Any, order: Callable[[int], bytes], way: tuple[str, ...], size: int
) -> None:
    body = order(1) + b" " * size
    answer = wire.send(request(body, *way)).answer()
    assert answer.status == (200 if size < 2**24 else 413)
    assert wire.send(request(order(2), *way)).answer().output == digits.expected[2]


@WAYS
def test_clients_that_leave_early_disturb_nobody(
    hub: Any, wire: Wire, digits: Any, order: Callable[[int], bytes], way: tuple[str, ...]
) -> None:
    whole = request(order(1), *way)
    cuts = (10, whole.index(b"\r\n\r\n") + 4, len(whole) - 5, len(whole))

    def leave(cut: int) -> None:
        with connected(hub) as early:
            early.send(whole[:cut] if cut < len(whole) else whole * 3)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(leave, cuts * 10))
    for place in range(20):
        assert wire.send(request(order(place), *way)).answer().output == digits.expected[place]

    def in_flight() -> float:
        text = hub.call("GET", "/metrics").text
        return sum(
            float(value) for value in re.findall(r"^mlhub_predictions_in_flight\S* (\S+)", text, re.MULTILINE)
        )

    hub.wait_until(lambda: in_flight() == 0, "that nothing is left of them")


def test_a_client_that_resets_its_connection_disturbs_nobody(
    hub: Any, wire: Wire, digits: Any, order: Callable[[int], bytes]
) -> None:
    for _ in range(10):
        with connected(hub) as early:
            early.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            early.send(request(order(1)) * 5)
    assert wire.send(request(order(2))).answer().output == digits.expected[2]


def test_a_client_that_reads_late_gets_all_its_answers(
    wire: Wire, digits: Any, order: Callable[[int], bytes]
) -> None:
    count = 300
    row = digits.rows[0].tolist()
    many = json.dumps({"input": [row] * 400}).encode()
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(lambda: [wire.send(request(many)) for _ in range(count // 10)])
        answers = [wire.answer() for _ in range(count // 10)]
        sending.result(60)
    assert {tuple(answer.output) for answer in answers} == {(digits.expected[0],) * 400}


@WAYS
def test_many_connections_get_their_own_answers(
    hub: Any, published: str, digits: Any, order: Callable[[int], bytes], way: tuple[str, ...]
) -> None:
    def ask(seed: int) -> list[bool]:
        places = np.random.default_rng(seed).integers(0, 100, 20).tolist()
        with connected(hub) as wire:
            wire.send(b"".join(request(order(place), *way) for place in places[:10]))
            for place in places[10:]:
                wire.send(request(order(place), *way))
            return [wire.answer().output == digits.expected[place] for place in places]

    with ThreadPoolExecutor(32) as pool:
        assert all(all(right) for right in pool.map(ask, range(32)))


@WAYS
def test_an_answer_says_no_more_and_no_less_than_it_has(
    wire: Wire, order: Callable[[int], bytes], way: tuple[str, ...]
) -> None:
    answer = wire.send(request(order(1), *way)).answer()
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert set(answer.headers) == {"content-type", "content-length", "date", "server-timing", "x-request-id"}


@WAYS
@pytest.mark.parametrize("given", ["\xe9\xff", "a b", "x" * 129, "", "a\tb", "<script>"])
def test_strange_request_ids_are_replaced(
    wire: Wire, order: Callable[[int], bytes], way: tuple[str, ...], given: str
) -> None:
    answer = wire.send(request(order(1), f"X-Request-ID: {given}", *way)).answer()
    assert answer.status == 200
    assert re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", answer.headers["x-request-id"])
    assert answer.headers["x-request-id"] != given


@WAYS
def test_a_body_that_dawdles_holds_up_nobody(
    hub: Any, wire: Wire, digits: Any, order: Callable[[int], bytes], way: tuple[str, ...]
) -> None:
    data = request(order(1), *way)
    with connected(hub) as slow:
        slow.send(data[:-1])
        for place in range(10):
            assert wire.send(request(order(place), *way)).answer().output == digits.expected[place]
        assert slow.send(data[-1:]).answer().output == digits.expected[1]


@WAYS
def test_an_offer_of_another_protocol_is_declined(
    wire: Wire, digits: Any, order: Callable[[int], bytes], way: tuple[str, ...]
) -> None:
    assert wire.send(request(order(1), *H2C, *way)).answer().output == digits.expected[1]
    assert wire.send(request(order(2), *way)).answer().output == digits.expected[2]


@WAYS
def test_a_client_that_will_send_no_more_gets_its_answer(
    wire: Wire, digits: Any, order: Callable[[int], bytes], way: tuple[str, ...]
) -> None:
    wire.send(request(order(1), *way)).socket.shutdown(socket.SHUT_WR)
    assert wire.answer().output == digits.expected[1]
    assert wire.is_ended()


@pytest.mark.parametrize("line", ["POST {} HTTP/2.0", "POST {} HTTP/0.9"])
def test_other_versions_of_http_are_refused(wire: Wire, order: Callable[[int], bytes], line: str) -> None:
    answer = wire.send(request(order(1), line=line)).answer()
    assert answer.status in (400, 505)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("hosts", [b"", b"Host: a\r\nHost: b\r\n"], ids=["no host", "two hosts"])
def test_a_request_names_one_host(wire: Wire, order: Callable[[int], bytes], hosts: bytes) -> None:
    """RFC 9112, 3.2."""
    answer = wire.send(request(order(1)).replace(b"Host: hub\r\n", hosts)).answer()
    assert answer.status == 400
