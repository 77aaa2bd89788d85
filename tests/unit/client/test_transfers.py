"""Uploads and downloads: whole or not at all."""

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest

from mlhub.client import Client, HubError

CONTENT = b"\x1f\x8b" + bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
BUNDLE = {"sha256": SHA256, "size": len(CONTENT)}
READY = {"version": "1", "state": "ready", "bundle": BUNDLE}


def download(reply: Any, **headers: str) -> Any:
    made = reply(None, 200, **({"ETag": f'"{SHA256}"'} | headers))
    made.body = CONTENT
    return made


def test_a_download_is_written_and_its_progress_told(
    script: Any, client: Client, reply: Any, tmp_path: Path
) -> None:
    script.answer(download(reply))
    seen: list[tuple[int, int | None]] = []
    path = client.download("m", tmp_path / "x", progress=lambda *counts: seen.append(counts))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert script.requests[0].path == "/model/m/versions/latest/download"


def test_a_download_that_breaks_off_leaves_the_file_before(
    script: Any, client: Client, reply: Any, tmp_path: Path
) -> None:
    broken = download(reply)
    broken.cut = 500_000
    script.answer(broken)
    (tmp_path / "x").write_bytes(b"before")
    with pytest.raises(HubError, match="broke"):
        client.download("m", tmp_path / "x")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", b"before")]


def test_a_download_goes_on_where_its_connection_broke(
    script: Any, client: Client, reply: Any, tmp_path: Path
) -> None:
    first, rest = (
        download(reply),
        download(reply, Content_Range=f"bytes 524288-{len(CONTENT) - 1}/{len(CONTENT)}"),
    )
    first.cut = 524_288
    rest.status, rest.body = 206, CONTENT[524_288:]
    script.answer(first, rest)
    seen: list[tuple[int, int | None]] = []
    path = client.download("m", tmp_path / "x", progress=lambda *counts: seen.append(counts))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    again = script.requests[1].headers
    assert (again["range"], again["if-range"]) == ("bytes=524288-", f'"{SHA256}"')


def test_a_download_begins_again_where_only_all_of_it_can_be_had(
    script: Any, client: Client, reply: Any, tmp_path: Path
) -> None:
    first = download(reply)
    first.cut = 500_000
    script.answer(first, download(reply))
    assert client.download("m", tmp_path / "x").read_bytes() == CONTENT


def test_a_download_that_differs_from_its_tag_is_refused(
    script: Any, client: Client, reply: Any, tmp_path: Path
) -> None:
    script.answer(download(reply, ETag=f'"{"0" * 64}"'))
    with pytest.raises(HubError, match="SHA-256 differs") as caught:
        client.download("m", tmp_path / "x")
    assert caught.value.code == "digest_mismatch"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("offered", "name"),
    [
        ('attachment; filename="m-1.tar.gz"', "m-1.tar.gz"),
        ('attachment; filename="../../etc/passwd"', "_.._etc_passwd"),
        ("attachment; filename*=UTF-8''%2e%2e%2fx", "_x"),
        ('attachment; filename=".."', "bundle"),
        ("", "bundle"),
    ],
)
def test_a_folder_gets_the_name_that_the_hub_offers_and_nothing_beyond(
    script: Any, client: Client, reply: Any, tmp_path: Path, offered: str, name: str
) -> None:
    script.answer(download(reply, Content_Disposition=offered))
    assert client.download("m", tmp_path) == tmp_path / name


def test_an_upload_sends_the_bytes_of_a_file_with_their_length(
    script: Any, client: Client, reply: Any, tmp_path: Path
) -> None:
    script.answer(reply(READY, 201))
    (tmp_path / "x").write_bytes(CONTENT)
    version = client.upload("m", tmp_path / "x", "1", wait=5)
    assert (version.model, version.state) == ("m", "ready")
    (request,) = script.requests
    assert (request.path, request.body) == ("/model/m/upload?version=1", CONTENT)
    assert request.headers["content-length"] == str(len(CONTENT))
    assert request.headers["prefer"] == "wait=5"


def test_an_upload_begins_where_the_file_stands(script: Any, client: Client, reply: Any) -> None:
    script.answer(reply(READY, 201))
    file = io.BytesIO(b"before" + CONTENT)
    file.seek(6)
    client.upload("m", file)
    assert script.requests[0].body == CONTENT


def test_an_upload_of_unknown_length_goes_in_chunks(script: Any, client: Client, reply: Any) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    script.answer(reply(READY, 201))
    seen: list[tuple[int, int | None]] = []
    client.upload("m", Pipe(CONTENT), progress=lambda *counts: seen.append(counts))
    assert script.requests[0].body == CONTENT
    assert seen[-1] == (len(CONTENT), None)


def test_an_upload_that_arrived_changed_is_noticed(script: Any, client: Client, reply: Any) -> None:
    script.answer(reply(READY | {"bundle": {"sha256": "0" * 64, "size": 1}}, 201))
    with pytest.raises(HubError, match="SHA-256 differs"):
        client.upload("m", io.BytesIO(CONTENT))


def test_validation_that_takes_longer_than_the_hub_waits_is_waited_for(
    script: Any, client: Client, reply: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlhub.client.upload._PAUSE", 0.01)
    validating = READY | {"state": "validating"}
    script.answer(reply(validating, 202), reply(validating), reply(READY))
    assert client.upload("m", io.BytesIO(CONTENT)).state == "ready"
    assert [request.path for request in script.requests[1:]] == ["/model/m/versions/1"] * 2


def test_an_upload_without_a_wait_asks_for_none(script: Any, client: Client, reply: Any) -> None:
    script.answer(reply(READY | {"state": "validating"}, 202))
    assert client.upload("m", io.BytesIO(CONTENT), wait=0).state == "validating"
    assert "prefer" not in script.requests[0].headers


def test_content_that_failed_before_fails_with_its_reason(script: Any, client: Client, reply: Any) -> None:
    script.answer(reply(READY | {"state": "failed", "error": "No model in it."}))
    with pytest.raises(HubError, match=r"No model in it\.$") as caught:
        client.upload("m", io.BytesIO(CONTENT))
    assert caught.value.code == "validation_failed"
