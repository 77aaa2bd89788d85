"""Forms are read part by part within limits, whatever pieces they come in; none becomes a crash."""

import asyncio
from typing import Any

import falcon.asgi
import falcon.testing
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlhub.api import problems
from mlhub.api.multipart import FormLimits, is_form, parts

LIMITS = FormLimits(body=4096, field=64, parts=4, headers=4, header=256)
FORM = "multipart/form-data; boundary=mark"


def part(name: str, content: bytes, filename: str | None = None, *headers: str) -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    lines = [f'Content-Disposition: form-data; name="{name}"{file}', *headers]
    return b"--mark\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + content + b"\r\n"


END = b"--mark--\r\n"
WHOLE = part("note", b"a\r\nb") + part("file", bytes(range(256)), "x.bin", "Content-Type: Image/PNG") + END


class Reading:
    """Reads all parts: fields as text, files in pieces, and leaves those named `skip` unread."""

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        seen: list[Any] = []
        async for one in parts(req, LIMITS):
            if one.name == "skip":
                seen.append("skipped")
            elif one.is_file:
                content = b"".join([piece async for piece in one.pieces()])
                again = b"".join([piece async for piece in one.pieces()])
                seen.append([one.name, one.filename, one.content_type, content.hex(), len(again)])
            else:
                seen.append([one.name, await one.text()])
        resp.media = seen


def post(body: bytes, content_type: str = FORM) -> falcon.testing.Result:
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App()
    problems.add_handlers(app)
    app.add_route("/", Reading())
    return falcon.testing.TestClient(app).simulate_post(
        "/", body=body, headers={"Content-Type": content_type}
    )


def test_fields_and_files_come_in_their_order_with_their_exact_bytes() -> None:
    answer = post(WHOLE)
    assert answer.status_code == 200
    file = ["file", "x.bin", "image/png", bytes(range(256)).hex(), 0]
    assert answer.json == [["note", "a\r\nb"], file]


def test_parts_that_are_not_read_are_skipped() -> None:
    answer = post(part("skip", b"z" * 1000, "big") + part("note", b"here") + END)
    assert answer.json == ["skipped", ["note", "here"]]


@pytest.mark.parametrize("content_type", [FORM, 'Multipart/Form-Data; charset=utf-8; boundary="mark"'])
def test_a_boundary_may_be_quoted_and_stand_anywhere(content_type: str) -> None:
    assert post(WHOLE, content_type).status_code == 200


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_the_pieces_in_which_a_form_arrives_do_not_matter(size: int) -> None:
    async def read() -> list[tuple[str, bytes]]:
        pieces = [WHOLE[at : at + size] for at in range(0, len(WHOLE), size)]
        events = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        events.append({"type": "http.request", "body": b"", "more_body": False})

        async def receive() -> Any:
            return events.pop(0)

        scope = falcon.testing.create_scope(method="POST", headers={"content-type": FORM})
        req = falcon.asgi.Request(scope, receive)
        return [(one.name, await one.read(4096)) async for one in parts(req, LIMITS)]

    assert asyncio.run(read()) == [("note", b"a\r\nb"), ("file", bytes(range(256)))]


HOSTILE = {
    "nothing": b"",
    "no boundary": b"x" * 500,
    "no end": part("note", b"x"),
    "no end of a header": b"--mark\r\nContent-Disposition: form-data; name=x",
    "an endless header": b"--mark\r\nContent-Disposition: " + b"x" * 1000,
    "too many headers": part("note", b"x", None, *["X-A: b"] * 9) + END,
    "no name": b"--mark\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + END,
    "an empty name": part("", b"x") + END,
    "an endless name": part("x" * 200, b"x") + END,
    "no disposition": b"--mark\r\nContent-Type: text/plain\r\n\r\nx\r\n" + END,
    "an attachment": b"--mark\r\nContent-Disposition: attachment; name=x\r\n\r\nx\r\n" + END,
    "too many parts": part("note", b"x") * 9 + END,
    "bare line ends": WHOLE.replace(b"\r\n", b"\n"),
    "a header that is not UTF-8": part("note", b"x").replace(b"note", b"\xff\xfe") + END,
    "a field that is not UTF-8": part("note", b"\xff\xfe") + END,
    "a part shorter than it says": part("note", b"x", None, "Content-Length: 7") + END,
    "a length that is none": part("note", b"x", None, "Content-Length: " + "9" * 200) + END,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_no_form_gets_400_with_a_reason(what: str) -> None:
    answer = post(HOSTILE[what])
    assert (answer.status_code, answer.json["code"]) == (400, "bad_multipart"), answer.text


@pytest.mark.parametrize(
    "boundary", ["", "; boundary=", '; boundary=""', f"; boundary={'x' * 300}", '; boundary="a\tb"']
)
def test_a_boundary_that_is_none_gets_400(boundary: str) -> None:
    assert post(WHOLE, "multipart/form-data" + boundary).status_code == 400


def test_other_bodies_get_415() -> None:
    assert post(WHOLE, "multipart/mixed; boundary=mark").status_code == 415
    assert post(WHOLE, "application/json").status_code == 415


def test_what_is_too_large_gets_413() -> None:
    assert "'note'" in post(part("note", b"x" * 65) + END).json["detail"]
    assert post(part("note", b"x" * 65) + END).status_code == 413
    assert post(part("file", b"x" * 5000, "big") + END).status_code == 413


@settings(deadline=None, max_examples=150)
@given(
    cut=st.integers(0, len(WHOLE)),
    at=st.integers(0, len(WHOLE)),
    noise=st.binary(max_size=20),
    content_type=st.sampled_from(
        [FORM, "multipart/form-data; boundary=--", "multipart/form-data; boundary=m"]
    ),
)
def test_no_noise_in_a_form_is_a_crash(cut: int, at: int, noise: bytes, content_type: str) -> None:
    answer = post(WHOLE[:at] + noise + WHOLE[at + len(noise) : cut], content_type)
    assert answer.status_code in {200, 400, 413}


def test_a_form_is_told_by_its_type() -> None:
    scope = falcon.testing.create_scope(headers={"content-type": FORM})
    assert is_form(falcon.asgi.Request(scope, None))
    assert not is_form(falcon.asgi.Request(falcon.testing.create_scope(), None))
