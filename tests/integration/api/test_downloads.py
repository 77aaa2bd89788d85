"""Bundles on their way out: whole, in ranges, and never damaged without a sign."""

import base64
import hashlib
import random
from pathlib import Path
from typing import Any

import pytest
import requests


@pytest.fixture(scope="module")
def bundle(hub: Any) -> bytes:
    """Several pieces of chance, as a version that fails and can be downloaded."""
    content = b"\x1f\x8b" + random.Random(1).randbytes(5 * 1024 * 1024)
    hub.create("ranges")
    assert hub.upload("ranges", content, wait=0).status_code == 202
    return content


def get(hub: Any, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return hub.call("GET", "/model/ranges/download", headers=named)  # type: ignore[no-any-return]


def test_all_of_it_comes_with_its_digest(hub: Any, bundle: bytes) -> None:
    answer = get(hub)
    assert answer.content == bundle
    digest = base64.b64encode(hashlib.sha256(bundle).digest()).decode()
    assert answer.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-1999999", 10, 2_000_000),
        ("bytes=5000000-", 5_000_000, None),
        ("bytes=-7", -7, None),
        ("bytes=-99999999", 0, None),
        ("Bytes = 1000-99999999", 1000, None),
    ],
)
def test_a_range_is_sent_alone(hub: Any, bundle: bytes, wanted: str, first: int, last: int | None) -> None:
    answer = get(hub, Range=wanted)
    expected = bundle[first:last]
    assert (answer.status_code, answer.content) == (206, expected)
    begin = bundle.index(expected) if len(expected) > 1 else 0
    assert answer.headers["Content-Range"] == f"bytes {begin}-{begin + len(expected) - 1}/{len(bundle)}"


@pytest.mark.parametrize(
    "ignored", ["bytes=0-1,5-6", "lines=1-2", "bytes=x", "bytes=9-5", "bytes=", "bytes=-", "bytes=1" * 99]
)
def test_what_is_no_single_range_gets_all(hub: Any, bundle: bytes, ignored: str) -> None:
    answer = get(hub, Range=ignored)
    assert (answer.status_code, answer.content) == (200, bundle)


@pytest.mark.parametrize("behind", ["bytes=99999999-", "bytes=-0"])
def test_a_range_behind_the_end_is_416_and_tells_the_size(hub: Any, bundle: bytes, behind: str) -> None:
    answer = get(hub, Range=behind)
    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{len(bundle)}"


def test_a_range_of_something_else_gets_all(hub: Any, bundle: bytes) -> None:
    tag = get(hub, Range="bytes=0-0").headers["ETag"]
    assert get(hub, Range="bytes=0-9", If_Range=tag).status_code == 206
    for other in ('"x"', f"W/{tag}", "Thu, 26 Nov 2026 07:00:00 GMT"):
        assert get(hub, Range="bytes=0-9", If_Range=other).content == bundle
    assert get(hub, Range="bytes=0-9", If_None_Match=tag).status_code == 304


def test_head_tells_what_get_would(hub: Any, bundle: bytes) -> None:
    answer = hub.call("HEAD", "/model/ranges/download")
    whole = get(hub)
    assert (answer.status_code, answer.content) == (200, b"")
    for header in ("Content-Length", "ETag", "Content-Disposition", "Content-Type", "Repr-Digest"):
        assert answer.headers[header] == whole.headers[header]
    tag = {"If-None-Match": answer.headers["ETag"]}
    assert hub.call("HEAD", "/model/ranges/download", headers=tag).status_code == 304


def test_a_bundle_that_its_disk_changed_never_ends_as_if_it_were_whole(hub: Any, bundle: bytes) -> None:
    (place,) = (path for path in hub.bundles.rglob(f"{hashlib.sha256(bundle).hexdigest()}*"))
    for damage in (flipped, shortened):
        damage(place, bundle)
        try:
            with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
                get(hub)
        finally:
            place.write_bytes(bundle)
    assert get(hub).content == bundle
    assert "is not what was uploaded" in hub.parts["api"].log


def flipped(place: Path, content: bytes) -> None:
    place.write_bytes(content[:1000] + bytes([content[1000] ^ 1]) + content[1001:])


def shortened(place: Path, content: bytes) -> None:
    place.write_bytes(content[:-5])
