"""Every way in that the contract names, each with what must not be kept."""

import base64
import gzip
import hashlib
import io
import json
import socket
import tarfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from skops.io import dumps

from tests.integration.conftest import files_below

RAW = {"Content-Type": "application/octet-stream"}
WAIT = {"Prefer": "wait=120"}


def files(hub: Any) -> set[str]:
    """Return all files of bundles; those of earlier tests may go at any time."""
    return {str(path) for path in files_below(hub.bundles)}


@pytest.fixture(scope="module")
def model(digits: Any) -> bytes:
    content: bytes = dumps(digits.estimator)
    return content


def tar(content: bytes, note: str = "", mode: str = "w") -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in (("model.skops", content), ("note.txt", note.encode())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return target.getvalue()


def zipped(content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.skops", content)
    return target.getvalue()


def test_archives_of_each_kind_come_in_as_they_are(hub: Any, model: bytes) -> None:
    hub.create("kinds")
    for kind, content, suffix in (
        ("application/x-tar", tar(model), "tar"),
        ("application/gzip", tar(model, mode="w:gz"), "tar.gz"),
        ("application/zip", zipped(model), "zip"),
        ("application/x-www-form-urlencoded", tar(model, "curl"), "tar"),
    ):
        answer = hub.call("POST", "/model/kinds/upload", data=content, headers=WAIT | {"Content-Type": kind})
        assert answer.status_code == 201, answer.text
        assert answer.json()["bundle"]["filename"].endswith(f".{suffix}")
        assert hub.call("GET", "/model/kinds/download").content == content


def test_a_gzip_layer_of_the_way_goes_and_one_of_the_archive_stays(hub: Any, model: bytes) -> None:
    hub.create("layers")
    packed = tar(model, mode="w:gz")
    cases = ((packed, packed), (gzip.compress(tar(model, "b")), None), (gzip.compress(packed), packed))
    for number, (sent, kept) in enumerate(cases):
        headers = RAW | WAIT | {"Content-Encoding": "gzip"}
        answer = hub.call("POST", f"/model/layers/upload?version=v{number}", data=sent, headers=headers)
        assert answer.status_code == 201, answer.text
        assert hub.call("GET", f"/model/layers/download?version=v{number}").content == (kept or sent)
    broken = gzip.compress(packed)[:-9]
    answer = hub.call("POST", "/model/layers/upload", data=broken, headers=RAW | {"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_encoding")
    answer = hub.call("POST", "/model/layers/upload", data=packed, headers=RAW | {"Content-Encoding": "br"})
    assert answer.status_code == 415


def test_a_form_brings_a_version(hub: Any, model: bytes) -> None:
    hub.create("forms-in")
    content = tar(model)
    answer = hub.call(
        "POST",
        "/model/forms-in/upload",
        files={"file": ("m.tar", content)},
        data={"version": "a"},
        headers=WAIT,
    )
    assert (answer.status_code, answer.json()["version"]) == (201, "a"), answer.text
    assert answer.headers["Location"] == "/model/forms-in/versions/a"
    assert hub.call("GET", "/model/forms-in/download").content == content
    again = hub.call("POST", "/model/forms-in/upload?version=a", files={"bundle": ("x", content)})
    assert again.status_code == 200


SEED = {
    "model": "seeded",
    "type": "scikitlearn",
    "version": "v1",
    "description": "Digits",
    "reference": "doi:10/x",
    "discipline": "Physics",
}


def test_the_form_of_everything_makes_the_entry_with_fields_on_either_side_of_the_file(
    hub: Any, model: bytes
) -> None:
    # Both orders, as a browser sends them in the order of its form.
    for name, order in (("seeded", "before"), ("seeded-2", "after")):
        fields = [(key, (None, value)) for key, value in (SEED | {"model": name}).items()]
        file = [("file", ("m.tar", tar(model), "application/x-tar"))]
        sent = fields + file if order == "before" else file + fields
        answer = hub.call("POST", "/upload", files=sent, headers=WAIT)
        assert answer.status_code == 201, answer.text
        entry = hub.call("GET", f"/model/{name}").json()
        assert entry["type"] == "ScikitLearn"
        assert (entry["version"], entry["state"]) == ("v1", "ready")
        assert {key: entry[key] for key in ("description", "reference", "discipline")} == {
            key: SEED[key] for key in ("description", "reference", "discipline")
        }


def test_the_form_of_everything_adds_a_version_and_changes_what_it_says(hub: Any, model: bytes) -> None:
    hub.create("grown", description="old", discipline="kept")
    fields = {"model": "grown", "description": "new", "reference": ""}
    answer = hub.call("POST", "/upload", data=fields, files={"file": ("m", tar(model))}, headers=WAIT)
    assert answer.status_code == 201, answer.text
    entry = hub.call("GET", "/model/grown").json()
    assert (entry["description"], entry["discipline"], entry["version"]) == ("new", "kept", "1")
    wrong = hub.call(
        "POST", "/upload", data={"model": "grown", "type": "Keras"}, files={"file": ("m", tar(model, "2"))}
    )
    assert (wrong.status_code, wrong.json()["code"]) == (409, "type_fixed")


def test_an_entry_and_its_bundle_come_in_one_call(hub: Any, model: bytes) -> None:
    metadata = json.dumps({"type": "ScikitLearn", "meta": {"$a.b": 1}, "tags": ["x"], "version": "first"})
    parts = {
        "metadata": (None, metadata, "application/json"),
        "bundle": ("m.tar", tar(model)),
        "description": (None, "both ways"),
        "tags": (None, "one, two"),
    }
    answer = hub.call("POST", "/model/at-once", files=parts, headers=WAIT)
    assert answer.status_code == 201, answer.text
    entry = hub.call("GET", "/model/at-once").json()
    assert (entry["version"], entry["description"]) == ("first", "both ways")
    assert (entry["meta"], entry["tags"]) == ({"$a.b": 1}, ["one", "two"])
    again = hub.call("POST", "/model/at-once", files=parts)
    assert (again.status_code, again.json()["code"]) == (409, "model_exists")


REFUSED: dict[str, tuple[int, Callable[[bytes], dict[str, Any]]]] = {
    "no type": (422, lambda model: {"file": ("m", tar(model, "r1"))}),
    "no archive": (422, lambda _: {"type": (None, "ScikitLearn"), "file": ("m", b"text")}),
    "no file": (422, lambda _: {"type": (None, "ScikitLearn")}),
    "an empty choice": (
        422,
        lambda _: {"type": (None, "ScikitLearn"), "file": ("", b"", "application/octet-stream")},
    ),
    "an unknown field": (422, lambda model: {"nonsense": (None, "x"), "file": ("m", tar(model, "r2"))}),
    "metadata that is no JSON": (
        400,
        lambda model: {"metadata": (None, "{"), "file": ("m", tar(model, "r3"))},
    ),
    "metadata that is no object": (
        422,
        lambda model: {"metadata": (None, "[]"), "file": ("m", tar(model, "r4"))},
    ),
    "another name": (
        422,
        lambda model: {
            "model": (None, "other"),
            "type": (None, "Keras"),
            "file": ("m", tar(model, "r5")),
        },
    ),
    "latest as a name": (
        422,
        lambda model: {
            "version": (None, "latest"),
            "type": (None, "ScikitLearn"),
            "file": ("m", tar(model, "r6")),
        },
    ),
    "an unknown file": (422, lambda model: {"type": (None, "ScikitLearn"), "zip": ("m", tar(model, "r7"))}),
    "a bundle without a model": (
        422,
        lambda _: {"type": (None, "ScikitLearn"), "file": ("m", tar(b"no model", "r8"))},
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_leaves_neither_entry_nor_bundle(hub: Any, model: bytes, what: str) -> None:
    status, parts = REFUSED[what]
    name = f"refused-{list(REFUSED).index(what)}"
    before = files(hub)
    answer = hub.call("POST", f"/model/{name}", files=parts(model), headers=WAIT)
    assert answer.status_code == status, answer.text
    assert hub.call("GET", f"/model/{name}").status_code == 404
    hub.wait_until(lambda: files(hub) <= before, "no file is left")


def digest(content: bytes, algorithm: str = "sha256") -> str:
    return base64.b64encode(hashlib.new(algorithm, content).digest()).decode()


def test_a_digest_is_checked_and_a_wrong_one_keeps_nothing(hub: Any, model: bytes) -> None:
    hub.create("digests")
    content = tar(model, "digests")
    right, wrong = digest(content), digest(b"other")
    before = files(hub)
    for header, value in (
        ("Content-Digest", f"sha-256=:{wrong}:"),
        ("Repr-Digest", f"sha-512=:{digest(b'other', 'sha512')}:"),
        ("Content-Digest", f"sha-256=:{right}:, sha-512=:{digest(b'other', 'sha512')}:"),
        ("Digest", f"SHA-256={wrong}"),
    ):
        answer = hub.call("POST", "/model/digests/upload", data=content, headers=RAW | {header: value})
        assert (answer.status_code, answer.json()["code"]) == (400, "digest_mismatch"), (header, value)
        form = hub.call(
            "POST", "/model/digests/upload", files={"file": ("m", content)}, headers={header: value}
        )
        assert (form.status_code, form.json()["code"]) == (400, "digest_mismatch"), (header, value)
    part = {"file": ("m", content, "application/x-tar", {"Content-Digest": f"sha-256=:{wrong}:"})}
    assert hub.call("POST", "/model/digests/upload", files=part).status_code == 400
    for value in ("sha-256=x", "sha-256=:x:", "sha-256=:eA==:"):
        answer = hub.call(
            "POST", "/model/digests/upload", data=content, headers=RAW | {"Content-Digest": value}
        )
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_digest"), value
    assert files(hub) <= before
    for number, headers in enumerate(
        (
            {"Content-Digest": f"sha-256=:{right}:, md5=:x:"},
            {"Digest": f"sha-512={digest(content, 'sha512')},UNIXsum=1"},
        )
    ):
        address = f"/model/digests/upload?version={number}"
        assert hub.call("POST", address, data=content, headers=RAW | headers).status_code == 202
        again = hub.call("POST", address, files={"file": ("m", content)}, headers=headers)
        assert again.status_code == 200, again.text


def test_of_clients_that_upload_one_version_at_once_one_wins(hub: Any, model: bytes) -> None:
    hub.create("contest")
    contents = [tar(model, str(number)) for number in range(4)]

    def upload(content: bytes) -> int:
        return int(hub.call("POST", "/model/contest/upload?version=1", data=content, headers=RAW).status_code)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(upload, contents)) == [202, 409, 409, 409]
    kept = hub.call("GET", "/model/contest/download?version=1").content
    assert kept in contents
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(upload, [kept] * 4)) == {200}
    hub.wait_until(
        lambda: (
            len([path for path in files(hub) if hashlib.sha256(contents[0]).hexdigest() in path])
            == (kept == contents[0])
        ),
        "what lost is gone",
    )


def test_of_clients_that_upload_the_same_bytes_at_once_all_find_their_version(hub: Any, model: bytes) -> None:
    hub.create("together")
    content = tar(model, "together")

    def upload(_: int) -> str:
        answer = hub.call("POST", "/model/together/upload", data=content, headers=RAW)
        assert answer.status_code in {200, 202}, answer.text
        return str(answer.json()["version"])

    with ThreadPoolExecutor(6) as pool:
        names = list(pool.map(upload, range(6)))
    for name in set(names):
        assert hub.call("GET", f"/model/together/download?version={name}").content == content


def test_a_form_that_breaks_off_leaves_nothing(hub: Any) -> None:
    hub.create("broken-form")
    before = files(hub)
    host, port = hub.url.removeprefix("http://").split(":")
    for head in (b"Content-Length: 1000000", b"Transfer-Encoding: chunked"):
        body = b'--m\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' + b"x" * 4096
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(
                b"POST /model/broken-form/upload HTTP/1.1\r\nHost: x\r\n"
                b"Content-Type: multipart/form-data; boundary=m\r\n" + head + b"\r\n\r\n"
            )
            connection.sendall(f"{len(body):x}\r\n".encode() + body + b"\r\n")
    hub.wait_until(lambda: files(hub) <= before, "no file is left")
    assert hub.call("GET", "/model/broken-form").json()["versions"] == []
