"""What every bundle store does, run over all of them."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlhub.common.errors import NotFoundError, UnavailableError
from mlhub.common.settings import Settings
from mlhub.storage.bundles import BundleStore, new_key
from mlhub.storage.database import connect
from mlhub.storage.directory import DirectoryBundleStore
from mlhub.storage.gridfs import GridFSBundleStore
from mlhub.storage.remote import Spool
from mlhub.storage.stores import create_bundle_store

CONTENT = b"\x1f\x8b" + bytes(range(256)) * 10_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
KEY = f"{DIGEST}.{'0' * 16}"
OTHER = f"{DIGEST}.{'1' * 16}"


def is_there(store: BundleStore, key: str) -> bool:
    try:
        store.size(key)
    except NotFoundError:
        return False
    return True


def directory(request: pytest.FixtureRequest, folder: Path) -> Iterator[BundleStore]:
    yield DirectoryBundleStore(folder / "bundles")


def gridfs(request: pytest.FixtureRequest, folder: Path) -> Iterator[BundleStore]:
    server = request.getfixturevalue("database")
    database = connect(server.url, server.name, patience=60_000, answer=120_000)
    yield GridFSBundleStore(database, Spool(folder / "run" / "spool"))
    database.client.close()


def s3(request: pytest.FixtureRequest, folder: Path) -> Iterator[BundleStore]:
    settings = Settings(
        bundles=f"s3://{request.getfixturevalue('bucket')}/some/prefix",
        s3_endpoint=request.getfixturevalue("object_server"),
        s3_key="key",
        s3_secret="secret",
        s3_region="us-east-1",
        run_dir=folder / "run",
    )
    yield create_bundle_store(settings)


STORES: dict[str, Callable[[pytest.FixtureRequest, Path], Iterator[BundleStore]]] = {
    "directory": directory,
    "gridfs": gridfs,
    "s3": s3,
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BundleStore]:
    yield from STORES[request.param](request, tmp_path)


def put(store: BundleStore, content: bytes = CONTENT, key: str = KEY) -> str:
    writer = store.create()
    writer.write(content)
    writer.commit(key)
    return key


def read(store: BundleStore, key: str) -> bytes:
    with store.open(key) as file:
        return file.read()


def test_what_is_written_in_pieces_comes_back_whole(store: BundleStore) -> None:
    writer = store.create()
    for start in range(0, len(CONTENT), 100_000):
        writer.write(CONTENT[start : start + 100_000])
    sealed = writer.seal()
    assert (sealed.sha256, sealed.size) == (DIGEST, len(CONTENT))
    writer.commit(KEY)
    with store.open(KEY) as file:
        assert file.read() == CONTENT
    assert store.size(KEY) == len(CONTENT)
    assert is_there(store, KEY)


@pytest.mark.parametrize("pieces", [1, 100, 511, 512, 513, 5000])
def test_the_head_is_the_first_512_bytes_however_they_came(store: BundleStore, pieces: int) -> None:
    writer = store.create()
    for start in range(0, 2000, pieces):
        writer.write(CONTENT[start : min(start + pieces, 2000)])
    assert writer.seal().head == CONTENT[:512]
    writer.abort()


def test_an_empty_bundle_can_be_kept(store: BundleStore) -> None:
    put(store, b"")
    assert store.size(KEY) == 0
    with store.open(KEY) as file:
        assert file.read() == b""


def test_a_bundle_can_be_read_from_anywhere_in_it(store: BundleStore) -> None:
    put(store)
    with store.open(KEY) as file:
        file.seek(1000)
        assert file.read(10) == CONTENT[1000:1010]
        file.seek(-10, 2)
        assert file.read() == CONTENT[-10:]
        file.seek(0)
        assert file.read(10) == CONTENT[:10]


def test_keys_of_hubs_before_are_known(store: BundleStore) -> None:
    put(store, key=DIGEST)
    assert [key for key, _ in store.listing()] == [DIGEST]
    store.delete(DIGEST)
    assert not is_there(store, DIGEST)


def test_nothing_is_there_before_commit(store: BundleStore) -> None:
    writer = store.create()
    writer.write(CONTENT)
    writer.seal()
    assert not is_there(store, KEY)
    assert list(store.listing()) == []
    writer.abort()


def test_abort_leaves_nothing(store: BundleStore) -> None:
    writer = store.create()
    writer.write(CONTENT)
    writer.abort()
    writer.abort()
    assert not is_there(store, KEY)
    assert store.abandoned(0) == 0


def test_abort_after_commit_means_nothing(store: BundleStore) -> None:
    writer = store.create()
    writer.write(CONTENT)
    writer.commit(KEY)
    writer.abort()
    assert is_there(store, KEY)


def test_a_writer_that_ended_takes_nothing_more(store: BundleStore) -> None:
    committed, aborted = store.create(), store.create()
    committed.commit(KEY)
    aborted.abort()
    for writer in (committed, aborted):
        for use in (lambda one: one.write(b"x"), lambda one: one.seal(), lambda one: one.commit(OTHER)):
            with pytest.raises(ValueError, match="closed"):
                use(writer)


@pytest.mark.parametrize(
    "key", [OTHER, "0" * 64, "", "x", "../tmp/x", KEY.upper(), "/etc/passwd", KEY + "\n", KEY + "/"]
)
def test_what_is_not_there_is_not_found(store: BundleStore, key: str) -> None:
    put(store)
    with pytest.raises(NotFoundError):
        store.open(key)
    with pytest.raises(NotFoundError):
        store.size(key)
    assert not is_there(store, key)
    store.delete(key)
    assert is_there(store, KEY)


def test_a_deleted_bundle_is_gone(store: BundleStore) -> None:
    put(store)
    put(store, key=OTHER)
    store.delete(KEY)
    store.delete(KEY)
    assert not is_there(store, KEY)
    assert [key for key, _ in store.listing()] == [OTHER]


def test_a_bundle_deleted_while_it_is_read_is_read_whole_or_not_at_all(store: BundleStore) -> None:
    put(store)
    with store.open(KEY) as file:
        store.delete(KEY)
        try:
            content = file.read()
        except (NotFoundError, UnavailableError):
            return
    assert content == CONTENT


def test_keys_tell_when_each_bundle_came(store: BundleStore) -> None:
    before = time.time() - 2
    put(store, b"other", OTHER)
    put(store)
    came = dict(store.listing())
    assert came.keys() == {KEY, OTHER}
    assert all(before <= moment <= time.time() + 2 for moment in came.values())


def test_a_store_that_works_says_so(store: BundleStore) -> None:
    store.check()


def test_a_living_writer_is_not_abandoned(store: BundleStore) -> None:
    writer = store.create()
    writer.write(CONTENT)
    assert store.abandoned(0) == 0
    writer.commit(KEY)
    assert is_there(store, KEY)


def test_many_writers_at_once_leave_what_they_wrote(store: BundleStore) -> None:
    keys = [new_key(DIGEST) for _ in range(12)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda key: put(store, key=key), keys)) == keys
        assert set(pool.map(lambda key: read(store, key), keys)) == {CONTENT}
    assert store.abandoned(0) == 0


def test_abort_may_come_while_another_thread_writes(store: BundleStore) -> None:
    writer = store.create()
    began = threading.Event()

    def write() -> None:
        piece = bytes(1024 * 1024)
        try:
            while True:
                writer.write(piece)
                began.set()
        except ValueError:
            return

    thread = threading.Thread(target=write)
    thread.start()
    assert began.wait(60)
    writer.abort()
    thread.join(60)
    assert not thread.is_alive()
    assert list(store.listing()) == []
    assert store.abandoned(0) == 0
