"""An API that is killed in the middle of an upload: what it leaves is cleared away, what counts is kept."""

import io
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from mlhub.local.ports import free_ports
from mlhub.storage.copies import CopyStore
from mlhub.storage.database import connect, now
from mlhub.storage.directory import DirectoryBundleStore
from mlhub.storage.shelf import BundleShelf
from mlhub.storage.uploads import UploadStore
from mlhub.storage.versions import VersionStore
from tests.integration.conftest import files_below

DEADLINE = 150.0
MIB = 1024 * 1024


class Api:
    """An API of its own, so that no other test misses it, and the stores that it works on."""

    def __init__(self, environment: dict[str, str], port: int, folder: Path, database: Any) -> None:
        self._environment = os.environ | environment
        self._log = folder.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.folder = folder
        self.database = database
        versions = VersionStore(database)
        self.shelf = BundleShelf(DirectoryBundleStore(folder), CopyStore(database), versions)
        self.uploads = UploadStore(database, self.shelf)

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "mlhub", "api"),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                requests.get(f"{self.url}/health/live", timeout=10).raise_for_status()
            except requests.RequestException:
                assert time.monotonic() < deadline, self._log.read_text()
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """End it with all its processes, as a machine that dies would."""
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Call, again while the database is too busy to answer, as clients do."""
        deadline = time.monotonic() + DEADLINE
        while True:
            answer = requests.request(method, self.url + path, timeout=60, **options)
            if answer.status_code != 503 or time.monotonic() > deadline:
                return answer
            time.sleep(0.5)

    def files(self) -> list[Path]:
        return sorted(files_below(self.folder))

    def killed_within(self, head: str, body: bytes) -> None:
        """Send part of a request; kill the API once it has written what came."""
        before = len(self.files())
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(head.encode() + body)
            deadline = time.monotonic() + DEADLINE
            while not any(size(path) >= MIB for path in self.files() if path.parent.name == "tmp"):
                assert time.monotonic() < deadline, "nothing is written"
                time.sleep(0.02)
            self.kill()
        assert len(self.files()) == before + 1

    def sweep_up(self) -> None:
        """Sweep until no temporary file is left; the killed processes may take their time to be gone."""
        deadline = time.monotonic() + DEADLINE
        while any(path.parent.name == "tmp" for path in self.files()):
            assert time.monotonic() < deadline, self.files()
            self.sweep()
            time.sleep(0.02)

    def sweep(self) -> None:
        self.uploads.sweep()
        self.shelf.sweep(0)


def size(path: Path) -> int:
    """Return the bytes of a file, none of one that was moved away just now."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, broker: Any, database_server: Any) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("killed")
    port = free_ports(("api",), {})["api"]
    environment = {
        "MLHUB_BROKER_URL": broker.url,
        "MLHUB_MONGODB_URL": database_server.url,
        "MLHUB_DATABASE": "killed",
        "MLHUB_BUNDLES": str(folder / "bundles"),
        "MLHUB_RUN_DIR": str(folder),
        "MLHUB_PORT": str(port),
    }
    database = connect(database_server.url, "killed", patience=60_000, answer=120_000)
    api = Api(environment, port, folder / "bundles", database)
    try:
        api.start()
        assert api.call("POST", "/model/killed", json={"type": "Keras"}).status_code == 201
        yield api
    finally:
        api.kill()
        database.client.close()


def request(
    path: str, content_type: str, method: str = "POST", length: int = 20 * MIB, **headers: str
) -> str:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Type: {content_type}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""])


FORM = b'--m\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/octet-stream", bytes(3 * MIB)),
        ("multipart/form-data; boundary=m", FORM + bytes(3 * MIB)),
    ],
)
def test_an_upload_within_which_the_api_is_killed_leaves_nothing(
    api: Api, content_type: str, body: bytes
) -> None:
    api.killed_within(request("/model/killed/upload", content_type), body)
    api.sweep_up()
    assert api.files() == []
    api.start()
    assert api.call("GET", "/model/killed/versions").json() == []


def test_a_resumable_upload_goes_on_after_the_api_was_killed(api: Api) -> None:
    content = archive(5 * MIB)
    address = begin(api, len(content))
    headers = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    assert api.call("PATCH", address, data=content[: 2 * MIB], headers=headers).status_code == 204
    head = request(
        address,
        "application/offset+octet-stream",
        "PATCH",
        length=len(content) - 2 * MIB,
        Upload_Offset=str(2 * MIB),
    )
    api.killed_within(head, content[2 * MIB : -MIB])
    api.sweep_up()
    assert len(api.files()) == 1, "what was acknowledged"
    api.start()
    assert api.call("HEAD", address).headers["Upload-Offset"] == str(2 * MIB)
    headers["Upload-Offset"] = str(2 * MIB)
    assert api.call("PATCH", address, data=content[2 * MIB :], headers=headers).status_code == 204
    assert api.call("GET", "/model/killed/download").content == content
    assert len(api.files()) == 1, "the bundle, without its parts"


def test_an_upload_that_nobody_goes_on_with_is_cleared_away(api: Api) -> None:
    before = api.files()
    address = begin(api, 5 * MIB)
    headers = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    assert api.call("PATCH", address, data=b"part", headers=headers).status_code == 204
    assert len(api.files()) == len(before) + 1
    api.sweep()
    assert len(api.files()) == len(before) + 1, "it has time yet"
    identity = address.rpartition("/")[2]
    over = {"$set": {"expires_at": now() - timedelta(seconds=1)}}
    api.database["uploads"].update_one({"_id": identity}, over)
    assert api.call("HEAD", address).status_code == 404
    api.sweep()
    assert api.files() == before


def begin(api: Api, length: int) -> str:
    metadata = "model a2lsbGVk"
    answer = api.call("POST", "/uploads", headers={"Upload-Length": str(length), "Upload-Metadata": metadata})
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


def archive(size: int) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as made:
        info = tarfile.TarInfo("model.keras")
        info.size = size
        made.addfile(info, io.BytesIO(bytes(size)))
    return target.getvalue()
