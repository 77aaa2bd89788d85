"""Bundles in and out, and what becomes of bad ones, through the API of a running hub."""

import io
import random
import socket
import tarfile
from typing import Any

import pytest
from skops.io import dumps

from tests.integration.conftest import files_below

RAW = {"Content-Type": "application/octet-stream"}


def make(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def files(hub: Any) -> set[str]:
    """Return all files of bundles and models; those of earlier tests may go at any time."""
    return {str(path) for path in files_below(hub.bundles, hub.models)}


def test_an_upload_is_validated_served_and_downloaded_as_it_was(hub: Any, digits: Any) -> None:
    assert hub.create("way").status_code == 201
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/octet-stream"}
    accepted = hub.call("POST", "/model/way/upload", data=digits.bundle, headers=headers)
    assert accepted.status_code == 202
    assert accepted.headers["Location"] == "/model/way/versions/1"
    hub.wait_until(lambda: hub.call("GET", "/model/way").json()["state"] == "ready", "the version is ready")
    entry = hub.call("GET", "/model/way").json()
    assert entry["version"] == "1"
    version = entry["versions"][0]
    assert version["signature"]["inputs"] == [{"name": "input", "datatype": "FP64", "shape": [-1, 64]}]
    assert version["bundle"]["size"] == len(digits.bundle)

    downloaded = hub.call("GET", "/model/way/download")
    assert downloaded.content == digits.bundle
    assert downloaded.headers["ETag"] == f'"{version["bundle"]["sha256"]}"'
    assert "way-1.tar.gz" in downloaded.headers["Content-Disposition"]
    tag = {"If-None-Match": downloaded.headers["ETag"]}
    assert hub.call("GET", "/model/way/download", headers=tag).status_code == 304


def test_the_same_content_again_changes_nothing_and_other_content_conflicts(hub: Any, digits: Any) -> None:
    hub.create("same")
    assert hub.upload("same", digits.bundle, version="v1").status_code == 201
    again = hub.upload("same", digits.bundle, version="v1")
    assert (again.status_code, again.json()["version"]) == (200, "v1")
    other = hub.upload("same", make((member("model.skops"), b"x")), version="v1")
    assert (other.status_code, other.json()["code"]) == (409, "version_exists")
    assert len(hub.call("GET", "/model/same/versions").json()) == 1


def test_versions_count_up_and_a_bad_one_leaves_the_good_one_serving(hub: Any, digits: Any) -> None:
    hub.create("many")
    assert hub.upload("many", digits.bundle).json()["version"] == "1"
    bad = hub.upload("many", make((member("model.skops"), b"no model")))
    assert (bad.status_code, bad.json()["code"]) == (422, "validation_failed")
    entry = hub.call("GET", "/model/many").json()
    assert (entry["version"], entry["state"]) == ("1", "ready")
    assert [version["state"] for version in entry["versions"]] == ["failed", "ready"]
    answer = hub.call("POST", "/model/many/predict", json={"input": digits.rows[0].tolist()})
    assert answer.json() == {"model": "many", "version": "1", "output": digits.expected[0]}
    assert hub.upload("many", digits.bundle, version="3").status_code == 201
    assert hub.call("GET", "/model/many").json()["version"] == "3"
    assert hub.call("PUT", "/model/many", json={"version": "1"}).json()["version"] == "1"
    assert hub.call("PUT", "/model/many", json={"version": "2"}).status_code == 422


HOSTILE = {
    "no archive": (b"just text", "not_an_archive"),
    "empty": (b"", "not_an_archive"),
    "broken": (make((member("model.skops"), random.Random(1).randbytes(5000)))[:-2000], "validation_failed"),
    "climbs out": (make((member("../model.skops"), b"x")), "validation_failed"),
    "absolute": (make((member("/etc/model.skops"), b"x")), "validation_failed"),
    "link": (make((member("model.skops", tarfile.SYMTYPE, "/etc/passwd"), b"")), "validation_failed"),
    "device": (make((member("model.skops", tarfile.CHRTYPE), b"")), "validation_failed"),
    "no model": (make((member("readme.txt"), b"x")), "validation_failed"),
    "of another framework": (make((member("model.keras"), b"x")), "validation_failed"),
    "pickle": (make((member("model.pkl"), b"x")), "validation_failed"),
    "not of its format": (make((member("model.skops"), b"x")), "validation_failed"),
    "bad description": (
        make((member("model.skops"), b"x"), (member("mlhub.json"), b"{")),
        "validation_failed",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_bundles_that_are_no_good_are_refused_and_leave_nothing_deployed(hub: Any, case: str) -> None:
    content, code = HOSTILE[case]
    name = f"bad-{list(HOSTILE).index(case)}"
    hub.create(name)
    answer = hub.upload(name, content)
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert not (hub.models / name).exists()
    assert hub.call("DELETE", f"/model/{name}").status_code == 204


def test_a_bomb_is_stopped(hub: Any) -> None:
    bomb = io.BytesIO()
    with tarfile.open(fileobj=bomb, mode="w:gz") as archive:
        info = member("model.skops")
        info.size = 1024**3
        archive.addfile(info, io.BufferedReader(Zeros(info.size)))
    hub.create("bomb")
    answer = hub.upload("bomb", bomb.getvalue())
    assert answer.status_code == 422
    assert "unpack to more than" in answer.json()["detail"]


class Zeros(io.RawIOBase):
    """As many zeros as are wanted, without the memory."""

    def __init__(self, size: int) -> None:
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self._left)
        buffer[:count] = bytes(count)
        self._left -= count
        return count


def test_types_that_could_run_code_are_named_in_the_reason(hub: Any) -> None:
    hub.create("untrusted")
    answer = hub.upload("untrusted", make((member("model.skops"), dumps(Untrusted()))))
    assert answer.status_code == 422
    assert "Untrusted" in answer.json()["detail"]


class Untrusted:
    """A type that skops does not know."""

    def __init__(self) -> None:
        self.value = 1


def test_the_example_input_is_tried(hub: Any, digits: Any) -> None:
    hub.create("example", input_example=[1, 2, 3])
    answer = hub.upload("example", digits.bundle)
    assert answer.status_code == 422
    assert "example" in answer.json()["detail"]


def test_a_body_that_breaks_off_leaves_nothing(hub: Any) -> None:
    hub.create("broken-off")
    before = files(hub)
    host, port = hub.url.removeprefix("http://").split(":")
    for head in (b"Content-Length: 1000000", b"Transfer-Encoding: chunked"):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(
                b"POST /model/broken-off/upload HTTP/1.1\r\nHost: x\r\n"
                b"Content-Type: application/octet-stream\r\n" + head + b"\r\n\r\n"
            )
            # Chunked framing or part of the body: broken off either way.
            connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
    hub.wait_until(lambda: files(hub) <= before, "no file is left")
    assert hub.call("GET", "/model/broken-off").json()["versions"] == []


def test_a_bundle_over_the_limit_is_refused_before_it_is_read(hub: Any) -> None:
    hub.create("huge")
    host, port = hub.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /model/huge/upload HTTP/1.1\r\nHost: x\r\nContent-Type: application/gzip\r\n"
            b"Content-Length: 99999999999\r\n\r\nbeginning"
        )
        assert b" 413 " in connection.recv(65536).split(b"\r\n")[0]


def test_uploads_to_nowhere_and_of_forms_are_refused(hub: Any, digits: Any) -> None:
    assert hub.upload("nowhere", digits.bundle).status_code == 404
    hub.create("forms")
    answer = hub.call("POST", "/model/forms/upload", data=b"<x/>", headers={"Content-Type": "text/xml"})
    assert answer.status_code == 415
    assert hub.upload("forms", digits.bundle, version="latest").status_code == 422
    assert hub.upload("forms", digits.bundle, version="a/b").status_code == 422


def test_bundles_are_shared_by_versions_and_go_with_the_last(hub: Any, digits: Any) -> None:
    content = make((member("model.skops"), dumps(digits.estimator)), (member("note.txt"), b"shared"))
    for name in ("share-a", "share-b"):
        hub.publish(name, content)
    sha256 = hub.call("GET", "/model/share-a").json()["versions"][0]["bundle"]["sha256"]
    (place,) = (hub.bundles / sha256[:2]).glob(f"{sha256}.*")
    assert place.is_file()
    assert hub.call("DELETE", "/model/share-a").status_code == 204
    hub.wait_until(lambda: not (hub.models / "share-a").exists(), "the model server is rid of it")
    assert place.is_file()
    assert hub.call("DELETE", "/model/share-b/versions/1").status_code == 204
    hub.wait_until(lambda: not place.exists(), "the bundle is gone")
    assert hub.call("GET", "/model/share-b").json()["state"] == "empty"


def test_a_name_can_be_used_again_with_other_content(hub: Any, digits: Any) -> None:
    hub.publish("again", digits.bundle)
    assert hub.call("DELETE", "/model/again").status_code == 204
    hub.create("again")
    content = make((member("model.skops"), dumps(digits.estimator)), (member("note.txt"), b"other"))
    assert hub.upload("again", content).status_code == 201
    answer = hub.call("POST", "/model/again/predict", json={"input": digits.rows[1].tolist()})
    assert answer.json()["output"] == digits.expected[1]
