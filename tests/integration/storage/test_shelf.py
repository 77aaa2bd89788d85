"""Bundles are there as long as somebody needs them, whatever happens at the same moment."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlhub.common.errors import NotFoundError
from mlhub.common.model import Bundle, Version, VersionState
from mlhub.storage.copies import CopyStore
from mlhub.storage.database import connect, now
from mlhub.storage.directory import DirectoryBundleStore
from mlhub.storage.shelf import BundleShelf, Held
from mlhub.storage.versions import VersionStore


def is_there(store: DirectoryBundleStore, key: str) -> bool:
    try:
        store.size(key)
    except NotFoundError:
        return False
    return True


class Place(msgspec.Struct, frozen=True):
    """A shelf and what it works on."""

    shelf: BundleShelf
    store: DirectoryBundleStore
    copies: CopyStore
    versions: VersionStore

    def keep(self, content: bytes = b"content", **options: Any) -> Held:
        writer = self.shelf.create()
        writer.write(content)
        return self.shelf.keep(writer, **options)

    def record(self, held: Held, name: str) -> Version:
        version = Version(
            deployment=f"d-{name}",
            model="m",
            version=name,
            backend="b",
            state=VersionState.READY,
            bundle=Bundle(held.stored.sha256, held.stored.size, "f", held.key),
            created_at=now(),
        )
        self.versions.add(version)
        return version

    def remove(self, version: Version) -> None:
        self.versions.begin_removal(version, "r")
        self.shelf.collect(version.bundle.key)
        self.versions.forget(version.deployment)

    def files(self) -> list[str]:
        return [key for key, _ in self.store.listing()]


@pytest.fixture
def place(database: Any, tmp_path: Path) -> Iterator[Place]:
    db = connect(database.url, database.name, patience=60_000, answer=120_000)
    versions, copies = VersionStore(db), CopyStore(db)
    versions.create_indexes()
    copies.create_indexes()
    store = DirectoryBundleStore(tmp_path / "bundles")
    yield Place(BundleShelf(store, copies, versions), store, copies, versions)
    db.client.close()


def test_the_same_content_is_kept_once_and_goes_with_its_last_version(place: Place) -> None:
    first = place.keep()
    one = place.record(first, "1")
    assert place.shelf.give_back(first)
    second = place.keep()
    two = place.record(second, "2")
    assert place.shelf.give_back(second)
    assert first.key == second.key
    assert place.files() == [first.key]
    place.remove(one)
    assert place.files() == [first.key]
    place.remove(two)
    assert place.files() == []
    assert place.copies.find(first.key) is None


def test_an_upload_that_comes_to_nothing_takes_nothing_from_another(place: Place) -> None:
    failing, going_on = place.keep(), place.keep()
    place.shelf.drop(failing)
    place.shelf.drop(failing)
    assert place.files() == [going_on.key]
    place.record(going_on, "1")
    assert place.shelf.give_back(going_on)
    assert place.files() == [going_on.key]


def test_of_two_uploads_that_come_to_nothing_the_last_takes_the_bundle_along(place: Place) -> None:
    one, two = place.keep(), place.keep()
    place.shelf.drop(one)
    place.shelf.drop(two)
    assert place.files() == []


def test_a_removal_leaves_a_bundle_that_an_upload_holds(place: Place) -> None:
    first = place.keep()
    one = place.record(first, "1")
    place.shelf.give_back(first)
    held = place.keep()
    place.remove(one)
    assert place.files() == [held.key]
    place.shelf.drop(held)
    assert place.files() == []


def test_content_that_comes_while_its_copy_is_deleted_gets_a_copy_of_its_own(place: Place) -> None:
    first = place.keep()
    assert place.copies.doom(first.key, first.holder, lambda: False)
    second = place.keep()
    assert second.key != first.key
    place.shelf.sweep(3600)
    assert place.files() == [second.key], "the doomed one goes, however late"


def test_what_a_dead_upload_held_goes_when_its_hold_ends(place: Place) -> None:
    held = place.keep(until=now() - timedelta(seconds=1))
    lasting = place.keep(b"other")
    place.shelf.sweep(3600)
    assert place.files() == [lasting.key]
    assert not place.shelf.give_back(held), "an upload that was only slow is told"


def test_a_version_whose_upload_died_before_it_gave_back_keeps_its_bundle(place: Place) -> None:
    held = place.keep(until=now() - timedelta(seconds=1))
    place.record(held, "1")
    place.shelf.sweep(3600)
    place.shelf.sweep(3600)
    assert place.files() == [held.key]


def test_a_copy_that_the_disk_lost_is_not_shared(place: Place) -> None:
    held = place.keep()
    place.record(held, "1")
    place.shelf.give_back(held)
    place.store.delete(held.key)
    again = place.keep()
    assert again.key != held.key
    assert place.files() == [again.key]


def test_bundles_of_hubs_before_go_with_their_last_version(place: Place) -> None:
    held = place.keep()
    old = msgspec.structs.replace(place.record(held, "1"), deployment="old", version="0")
    writer = place.store.create()
    writer.write(b"content")
    writer.commit(held.stored.sha256)
    old = msgspec.structs.replace(old, bundle=Bundle(held.stored.sha256, 7, "f"))
    place.versions.add(old)
    place.shelf.collect(old.bundle.key)
    assert is_there(place.store, held.stored.sha256)
    place.remove(old)
    assert place.files() == [held.key]


def test_uploads_failures_and_removals_of_one_content_at_once_lose_and_leave_nothing(place: Place) -> None:
    """Threads do what API and worker processes do; each checks that what it recorded is there."""

    def work(number: int) -> list[bool]:
        chance = random.Random(number)
        found = []
        for turn in range(12):
            held = place.keep()
            if chance.random() < 0.4:
                place.shelf.drop(held)
                continue
            version = place.record(held, f"{number}-{turn}")
            found.append(place.shelf.give_back(held) and is_there(place.store, version.bundle.key))
            if chance.random() < 0.3:
                place.shelf.sweep(3600)
            found.append(is_there(place.store, version.bundle.key))
            place.remove(version)
        return found

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(work, range(6)))
    assert all(all(found) for found in results)
    place.shelf.sweep(3600)
    assert place.files() == []
