"""Resumable uploads: what came stays, whatever happened to the connection, and becomes a version once."""

import base64
import hashlib
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.integration.conftest import files_below

TUS = {"Tus-Resumable": "1.0.0"}
PATCH = TUS | {"Content-Type": "application/offset+octet-stream"}


def begin(hub: Any, length: int, **metadata: str) -> requests.Response:
    encoded = (f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in metadata.items())
    headers = TUS | {"Upload-Length": str(length), "Upload-Metadata": ",".join(encoded)}
    return hub.call("POST", "/uploads", headers=headers)  # type: ignore[no-any-return]


def patch(hub: Any, address: str, offset: int, content: bytes, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return hub.call(  # type: ignore[no-any-return]
        "PATCH", address, data=content, headers=PATCH | {"Upload-Offset": str(offset)} | named
    )


def offset(hub: Any, address: str) -> int:
    answer = hub.call("HEAD", address, headers=TUS)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    return int(answer.headers["Upload-Offset"])


def files(hub: Any) -> set[str]:
    """Return all files of bundles; those of earlier tests may go at any time."""
    return {str(path) for path in files_below(hub.bundles)}


def test_an_upload_in_pieces_becomes_a_version_that_serves(hub: Any, digits: Any) -> None:
    content = digits.bundle
    answer = begin(hub, len(content), model="tus", type="ScikitLearn", version="v1", description="In pieces")
    assert answer.status_code == 201, answer.text
    address = answer.headers["Location"]
    assert answer.headers["Upload-Expires"].endswith("GMT")
    for start in range(0, len(content), 700):
        assert offset(hub, address) == start
        sent = patch(hub, address, start, content[start : start + 700])
        assert (sent.status_code, sent.content) == (204, b""), sent.text
    assert sent.headers["Content-Location"] == "/model/tus/versions/v1"
    hub.wait_until(lambda: hub.call("GET", "/model/tus").json()["state"] == "ready", "the version is ready")
    assert hub.call("GET", "/model/tus").json()["description"] == "In pieces"
    assert hub.call("GET", "/model/tus/download").content == content
    shown = hub.call("GET", address).json()
    assert (shown["state"], shown["version"]["version"]) == ("done", "v1")
    again = patch(hub, address, len(content), b"")
    assert again.status_code == 204, "asking again changes nothing"
    assert len(hub.call("GET", "/model/tus/versions").json()) == 1


def test_what_came_before_the_connection_broke_is_kept(hub: Any, digits: Any) -> None:
    hub.create("tus-broken")
    address = begin(hub, len(digits.bundle), model="tus-broken").headers["Location"]
    host, port = hub.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"PATCH {address} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
            f"Content-Type: application/offset+octet-stream\r\nContent-Length: {len(digits.bundle)}\r\n\r\n".encode()
        )
        connection.sendall(digits.bundle[:1000])
    hub.wait_until(lambda: offset(hub, address) == 1000, "what came is kept")
    assert patch(hub, address, 1000, digits.bundle[1000:]).status_code == 204
    assert hub.call("GET", "/model/tus-broken/download").content == digits.bundle


def test_an_upload_survives_a_restart_of_the_api(hub: Any, digits: Any) -> None:
    hub.create("tus-restart")
    address = begin(hub, len(digits.bundle), model="tus-restart").headers["Location"]
    assert patch(hub, address, 0, digits.bundle[:500]).status_code == 204
    hub.parts["api"].stop()
    hub.parts["api"].start()
    hub.wait_until_ready()
    assert offset(hub, address) == 500
    assert patch(hub, address, 500, digits.bundle[500:]).status_code == 204
    assert hub.call("GET", "/model/tus-restart/download").content == digits.bundle


def test_of_requests_for_the_same_place_one_wins_and_the_version_comes_once(hub: Any, digits: Any) -> None:
    hub.create("tus-contest")
    content = digits.bundle
    address = begin(hub, len(content), model="tus-contest").headers["Location"]
    with ThreadPoolExecutor(4) as pool:
        first = sorted(
            answer.status_code
            for answer in pool.map(lambda _: patch(hub, address, 0, content[:900]), range(4))
        )
        assert first == [204, 409, 409, 409]
        last = [
            answer.status_code
            for answer in pool.map(lambda _: patch(hub, address, 900, content[900:]), range(4))
        ]
    assert 204 in last
    assert set(last) <= {204, 409, 503}
    versions = hub.call("GET", "/model/tus-contest/versions").json()
    assert [version["version"] for version in versions] == ["1"]


def test_an_upload_that_is_no_good_leaves_nothing(hub: Any) -> None:
    before = files(hub)
    address = begin(hub, 2000, model="tus-bad", type="Keras").headers["Location"]
    assert patch(hub, address, 0, b"x" * 1000).status_code == 204
    answer = patch(hub, address, 1000, b"x" * 1000)
    assert (answer.status_code, answer.json()["code"]) == (422, "not_an_archive")
    assert hub.call("HEAD", address).status_code == 404
    assert hub.call("GET", "/model/tus-bad").status_code == 404
    assert files(hub) <= before


def test_an_upload_that_is_given_up_leaves_nothing(hub: Any) -> None:
    hub.create("tus-given-up")
    before = files(hub)
    address = begin(hub, 2000, model="tus-given-up").headers["Location"]
    patch(hub, address, 0, b"x" * 1000)
    assert len(files(hub) - before) == 1
    assert hub.call("DELETE", address, headers=TUS).status_code == 204
    assert hub.call("DELETE", address, headers=TUS).status_code == 404
    assert files(hub) <= before


def test_a_piece_that_is_not_what_its_digest_says_is_not_kept(hub: Any) -> None:
    hub.create("tus-digest")
    address = begin(hub, 2000, model="tus-digest").headers["Location"]
    digest = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    answer = patch(hub, address, 0, b"x" * 1000, Content_Digest=f"sha-256=:{digest}:")
    assert (answer.status_code, answer.json()["code"]) == (400, "digest_mismatch")
    assert offset(hub, address) == 0


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (412, {"Tus-Resumable": "0.2.2", "Upload-Length": "5"}),
        (400, {}),
        (400, {"Upload-Length": "-1"}),
        (400, {"Upload-Length": "9" * 30}),
        (413, {"Upload-Length": str(10**12)}),
        (422, {"Upload-Length": "5"}),
        (400, {"Upload-Length": "5", "Upload-Metadata": "model ü"}),
        (400, {"Upload-Length": "5", "Upload-Metadata": "model !!"}),
        (400, {"Upload-Length": "5", "Upload-Metadata": "model /w=="}),
        (404, {"Upload-Length": "5", "Upload-Metadata": "model bm93aGVyZQ=="}),
        (422, {"Upload-Length": "5", "Upload-Metadata": "model bm93aGVyZQ==,nonsense eA=="}),
        (422, {"Upload-Length": "0", "Upload-Metadata": "model bm93aGVyZQ==,type S2VyYXM="}),
    ],
)
def test_beginnings_that_are_none_are_refused(hub: Any, status: int, headers: dict[str, str]) -> None:
    sent = {name: value.encode() for name, value in headers.items()}
    answer = hub.call("POST", "/uploads", headers=TUS | sent)
    assert answer.status_code == status, answer.text
    assert answer.headers["Tus-Resumable"] == "1.0.0"


def test_continuations_that_are_none_are_refused(hub: Any) -> None:
    hub.create("tus-bounds")
    address = begin(hub, 10, model="tus-bounds").headers["Location"]
    assert patch(hub, address, 5, b"x").status_code == 409
    assert patch(hub, address, 0, b"x" * 11).status_code == 413
    assert patch(hub, address, 0, b"x", Content_Type="text/plain").status_code == 415
    assert patch(hub, address, 0, b"x", Upload_Offset="x").status_code == 400
    assert patch(hub, "/uploads/" + "0" * 32, 0, b"x").status_code == 404
    assert offset(hub, address) == 0


def test_what_the_server_can_do_is_told_and_methods_may_be_overridden(hub: Any) -> None:
    told = hub.call("OPTIONS", "/uploads").headers
    assert told["Tus-Version"] == "1.0.0"
    assert told["Tus-Extension"] == "creation,expiration,termination"
    hub.create("tus-override")
    address = begin(hub, 10, model="tus-override").headers["Location"]
    over = {"X-HTTP-Method-Override": "PATCH", "Upload-Offset": "0"}
    assert hub.call("POST", address, data=b"12345", headers=PATCH | over).status_code == 204
    assert offset(hub, address) == 5
    assert hub.call("POST", address, headers=TUS).status_code == 405
