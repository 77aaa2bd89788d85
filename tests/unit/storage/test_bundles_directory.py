"""The folder of bundles: what lies on the disk, and what a broken disk becomes."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlhub.common.errors import UnavailableError
from mlhub.storage.directory import DirectoryBundleStore

DIGEST = hashlib.sha256(b"content").hexdigest()
KEY = f"{DIGEST}.{'0' * 16}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "bundles"


@pytest.fixture
def store(root: Path) -> DirectoryBundleStore:
    return DirectoryBundleStore(root)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_bundle_lies_under_its_key_and_nowhere_else(store: DirectoryBundleStore, root: Path) -> None:
    writer = store.create()
    writer.write(b"content")
    writer.commit(KEY)
    assert files(root) == [f"{DIGEST[:2]}/{KEY}"]


def test_an_aborted_write_leaves_no_file(store: DirectoryBundleStore, root: Path) -> None:
    writer = store.create()
    writer.write(b"content")
    writer.abort()
    assert files(root) == []


def test_a_check_leaves_no_file(store: DirectoryBundleStore, root: Path) -> None:
    store.check()
    assert files(root) == []


def test_a_foreign_file_is_no_bundle(store: DirectoryBundleStore, root: Path) -> None:
    (root / "no").mkdir()
    (root / "no" / "notes.txt").write_text("x")
    assert list(store.listing()) == []


def test_a_lost_folder_is_named_and_not_made_anew(store: DirectoryBundleStore, root: Path) -> None:
    store.check()
    shutil.rmtree(root)
    for use in (store.check, store.create, lambda: store.open(DIGEST), lambda: store.size(DIGEST)):
        with pytest.raises(UnavailableError, match="its folder is missing") as caught:
            use()
        assert str(root) not in caught.value.detail
    assert not root.exists()


def test_a_file_in_place_of_the_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "bundles").write_text("")
    with pytest.raises(UnavailableError, match="its folder is missing"):
        DirectoryBundleStore(tmp_path / "bundles").check()


def test_the_file_of_a_killed_writer_is_cleared_away_and_no_other(
    store: DirectoryBundleStore, root: Path
) -> None:
    script = (
        "import sys, pathlib; from mlhub.storage.directory import DirectoryBundleStore\n"
        "writer = DirectoryBundleStore(pathlib.Path(sys.argv[1])).create()\n"
        "writer.write(b'content'); print('written', flush=True); sys.stdin.read()"
    )
    living = store.create()
    with subprocess.Popen(
        [sys.executable, "-c", script, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"written\n"
            assert len(files(root)) == 2
            assert store.abandoned(0) == 0
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert store.abandoned(3600) == 0
    assert store.abandoned(0) == 1
    assert len(files(root)) == 1
    living.abort()


FULL = """
import pathlib, sys
from mlhub.common.errors import UnavailableError
from mlhub.storage.directory import DirectoryBundleStore

root = pathlib.Path(sys.argv[1])
store = DirectoryBundleStore(root)
store.check()
writer = store.create()
try:
    for _ in range(40):
        writer.write(bytes(100_000))
except UnavailableError as error:
    print(error.detail)
writer.abort()
try:
    writer.commit("0" * 64)
except ValueError:
    print("ended")
print([path.name for path in root.rglob("*") if path.is_file()])
try:
    with (root / "more").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
except OSError:
    pass
try:
    store.check()
except UnavailableError as error:
    print(error.detail)
"""


def test_a_full_disk_is_said_and_nothing_of_the_bundle_stays(tmp_path: Path) -> None:
    """On a real file system of two megabytes, mounted where only the test's own process sees it."""
    unshare = shutil.which("unshare")
    allowed = unshare and subprocess.run([unshare, "-rm", "true"], check=False, capture_output=True)
    if not allowed or allowed.returncode:
        pytest.skip("this kernel lets no process mount a file system of its own")
    mounted = tmp_path / "small"
    mounted.mkdir()
    done = subprocess.run(
        [
            str(unshare),
            "-rm",
            "sh",
            "-ec",
            'mount -t tmpfs -o size=2m none "$0"; exec "$1" -c "$2" "$0"',
            str(mounted),
            sys.executable,
            FULL,
        ],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert done.returncode == 0, done.stderr
    full = "The bundle store cannot be used: its disk is full; free some space on it."
    assert done.stdout.splitlines() == [full, "ended", "[]", full]
