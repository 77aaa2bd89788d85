"""What every bundle store does, run over all of them."""

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlhub.common.errors import NotFoundError
from mlhub.storage.bundles import BundleStore
from mlhub.storage.directory import DirectoryBundleStore

CONTENT = b"\x1f\x8b" + bytes(range(256)) * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
ABSENT = "0" * 64

STORES: dict[str, Callable[[Path], BundleStore]] = {
    "directory": lambda path: DirectoryBundleStore(path / "bundles"),
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BundleStore:
    return STORES[request.param](tmp_path)


def put(store: BundleStore, content: bytes = CONTENT) -> str:
    writer = store.create()
    writer.write(content)
    return writer.commit().sha256


def test_what_is_written_in_pieces_comes_back_whole(store: BundleStore) -> None:
    writer = store.create()
    for start in range(0, len(CONTENT), 1000):
        writer.write(CONTENT[start : start + 1000])
    stored = writer.commit()
    assert (stored.sha256, stored.size) == (DIGEST, len(CONTENT))
    with store.open(DIGEST) as file:
        assert file.read() == CONTENT
    assert store.size(DIGEST) == len(CONTENT)
    assert store.exists(DIGEST)


@pytest.mark.parametrize("pieces", [1, 100, 511, 512, 513, 5000])
def test_the_head_is_the_first_512_bytes_however_they_came(store: BundleStore, pieces: int) -> None:
    writer = store.create()
    for start in range(0, 2000, pieces):
        writer.write(CONTENT[start : min(start + pieces, 2000)])
    assert writer.commit().head == CONTENT[:512]


def test_an_empty_bundle_can_be_kept(store: BundleStore) -> None:
    stored = store.create().commit()
    assert (stored.size, stored.head) == (0, b"")
    assert store.size(stored.sha256) == 0


def test_a_bundle_can_be_read_from_anywhere_in_it(store: BundleStore) -> None:
    put(store)
    with store.open(DIGEST) as file:
        file.seek(1000)
        assert file.read(10) == CONTENT[1000:1010]


def test_the_same_content_twice_is_one_bundle(store: BundleStore) -> None:
    assert put(store) == put(store)
    assert [digest for digest, _ in store.digests()] == [DIGEST]


def test_nothing_is_there_before_commit(store: BundleStore) -> None:
    writer = store.create()
    writer.write(CONTENT)
    assert not store.exists(DIGEST)
    assert list(store.digests()) == []
    writer.abort()


def test_abort_leaves_nothing(store: BundleStore) -> None:
    writer = store.create()
    writer.write(CONTENT)
    writer.abort()
    writer.abort()
    assert not store.exists(DIGEST)
    assert store.abandoned(0) == 0


def test_abort_after_commit_means_nothing(store: BundleStore) -> None:
    writer = store.create()
    writer.write(CONTENT)
    writer.commit()
    writer.abort()
    assert store.exists(DIGEST)


def test_a_writer_that_ended_takes_nothing_more(store: BundleStore) -> None:
    committed, aborted = store.create(), store.create()
    committed.commit()
    aborted.abort()
    for writer in (committed, aborted):
        with pytest.raises(ValueError, match="closed"):
            writer.write(b"x")
        with pytest.raises(ValueError, match="closed"):
            writer.commit()


@pytest.mark.parametrize(
    "digest", [ABSENT, "", "x", "../tmp/x", DIGEST.upper(), "/etc/passwd", DIGEST + "\n"]
)
def test_what_is_not_there_is_not_found(store: BundleStore, digest: str) -> None:
    put(store)
    with pytest.raises(NotFoundError):
        store.open(digest)
    with pytest.raises(NotFoundError):
        store.size(digest)
    assert not store.exists(digest)
    store.delete(digest)


def test_a_deleted_bundle_is_gone_and_can_come_again(store: BundleStore) -> None:
    put(store)
    store.delete(DIGEST)
    store.delete(DIGEST)
    assert not store.exists(DIGEST)
    put(store)
    assert store.exists(DIGEST)


def test_a_bundle_that_is_being_read_can_be_deleted(store: BundleStore) -> None:
    put(store)
    with store.open(DIGEST) as file:
        store.delete(DIGEST)
        assert file.read() == CONTENT


def test_digests_tell_when_each_bundle_came(store: BundleStore) -> None:
    before = time.time() - 1
    other = put(store, b"other")
    put(store)
    came = dict(store.digests())
    assert came.keys() == {DIGEST, other}
    assert all(before <= moment <= time.time() + 1 for moment in came.values())


def test_a_bundle_that_comes_again_counts_as_new(store: BundleStore) -> None:
    put(store)
    first = dict(store.digests())[DIGEST]
    while time.time() < first + 0.02:
        pass
    put(store)
    assert dict(store.digests())[DIGEST] > first


def test_a_store_that_works_says_so(store: BundleStore) -> None:
    store.check()


def test_a_living_writer_is_not_abandoned(store: BundleStore) -> None:
    writer = store.create()
    writer.write(CONTENT)
    assert store.abandoned(0) == 0
    assert writer.commit().sha256 == DIGEST
    assert store.exists(DIGEST)


def test_many_writers_of_one_content_at_once_leave_it_whole(store: BundleStore) -> None:
    failures: list[Exception] = []

    def write() -> None:
        try:
            for _ in range(5):
                put(store)
        except Exception as error:  # noqa: BLE001 (a thread's error fails the test below)
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with store.open(DIGEST) as file:
        assert file.read() == CONTENT
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
    assert began.wait(10)
    writer.abort()
    thread.join(10)
    assert not thread.is_alive()
    assert list(store.digests()) == []
    assert store.abandoned(0) == 0
