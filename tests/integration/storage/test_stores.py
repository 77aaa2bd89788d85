"""The stores on a real database: what is unique, what changes once only, what lists hold."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from mlhub.api.services.routes import RouteService
from mlhub.common.errors import (
    ConflictError,
    MLHubError,
    NotFoundError,
    PreconditionFailedError,
    UnavailableError,
)
from mlhub.common.model import Bundle, Model, ModelState, ModelType, Version, VersionState
from mlhub.common.signature import Signature
from mlhub.storage.cards import CardStore
from mlhub.storage.catalogue import Catalogue
from mlhub.storage.copies import CopyStore
from mlhub.storage.database import check, connect, now
from mlhub.storage.directory import DirectoryBundleStore
from mlhub.storage.models import ModelStore
from mlhub.storage.shelf import BundleShelf
from mlhub.storage.terms import ModelFilter
from mlhub.storage.versions import VersionStore

MINUTE = timedelta(minutes=1)


class Stores(msgspec.Struct, frozen=True):
    models: Any
    versions: Any
    catalogue: Any
    bundles: Any
    shelf: Any


@pytest.fixture
def stores(database: Any, tmp_path: Any) -> Iterator[Stores]:
    db = connect(database.url, database.name)
    models, versions = ModelStore(db), VersionStore(db)
    for store in (models, versions):
        store.create_indexes()
    bundles = DirectoryBundleStore(tmp_path)
    shelf = BundleShelf(bundles, CopyStore(db), versions)
    catalogue = Catalogue(models, versions, shelf, CardStore(db))
    yield Stores(models, versions, catalogue, bundles, shelf)
    db.client.close()


def model(name: str = "m", **fields: Any) -> Model:
    time = now()
    return Model(model=name, type=ModelType.SKLEARN, backend="b", created_at=time, updated_at=time, **fields)


def version(name: str = "1", *, of: str = "m", **fields: Any) -> Version:
    values: dict[str, Any] = {
        "deployment": f"{of}-{name}-x",
        "model": of,
        "version": name,
        "backend": "b",
        "state": VersionState.VALIDATING,
        "bundle": Bundle("ab" * 32, 1, "f"),
        "created_at": now(),
        "published_at": now(),
    }
    return Version(**values | fields)


def test_entries_come_back_as_they_were(stores: Stores) -> None:
    strange = {"$where": 1, "a.b": {"": None}, "ü": [1, 2.5, True], "big": 2**62}
    kept = model(meta=strange, tags=("a", "b"), input_example=[[1, 2]], description="ä")
    stores.models.create(kept)
    assert stores.models.get("m") == kept
    with pytest.raises(ConflictError):
        stores.models.create(model())
    with pytest.raises(NotFoundError):
        stores.models.get("other")


def test_several_routes_are_found_together_and_what_has_none_says_why(stores: Stores) -> None:
    ready: dict[str, Any] = {"state": VersionState.READY, "signature": Signature((), ())}
    for name, newest in (("m", "2"), ("n", None), ("o", "1")):
        stores.models.create(model(name, version=newest))
    there = (version("1", **ready), version("2", **ready), version(of="n"), version(of="o", **ready))
    for kept in (*there, version("3", **ready | {"backend": "gone"})):
        stores.versions.add(kept)
    keys = [
        ("m", "latest"),
        ("o", "latest"),
        ("m", "1"),
        ("n", "latest"),
        ("n", "1"),
        ("m", "9"),
        ("p", "1"),
        ("m", "3"),
    ]
    hostile = [("\ud800", "latest"), ("a\0", "1"), ("m", "\ud800"), ("", "1"), ("$ne", "1")]
    found = RouteService(stores.models, stores.versions, {"b"}).find(keys + hostile)
    said = [item.code if isinstance(item, MLHubError) else item.deployment for item in found]
    assert said == [
        *("m-2-x", "o-1-x", "m-1-x", "not_ready", "not_ready", "version_not_found", "model_not_found"),
        "backend_not_configured",
        *("invalid_name", "invalid_name", "invalid_version", "invalid_name", "invalid_name"),
    ]


def test_of_two_changes_to_one_revision_one_wins(stores: Stores) -> None:
    stores.models.create(model())
    read = stores.models.get("m")
    changed = stores.models.replace(msgspec.structs.replace(read, description="x"), expected=read.revision)
    assert stores.models.get("m") == changed
    with pytest.raises(PreconditionFailedError):
        stores.models.replace(read, expected=read.revision)


def test_of_two_uploads_of_one_version_one_wins(stores: Stores) -> None:
    def add(number: int) -> bool:
        try:
            stores.versions.add(version(deployment=f"d{number}"))
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(add, range(8))) == 1


def test_work_is_claimed_once_until_its_lease_ends(stores: Stores) -> None:
    stores.versions.add(version())
    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(lambda _: stores.versions.claim("m-1-x", MINUTE), range(8)))
    assert [one.attempts for one in claimed if one is not None] == [1]
    stores.versions.release("m-1-x")
    assert stores.versions.claim("m-1-x", -MINUTE).attempts == 2
    assert stores.versions.claim("m-1-x", MINUTE).attempts == 3, "an expired lease holds nobody off"


def test_the_summary_follows_the_versions(stores: Stores) -> None:
    stores.models.create(model())
    stores.versions.add(version("1"))
    stores.catalogue.refresh("m")
    assert stores.models.get("m").state is ModelState.VALIDATING
    claimed = stores.versions.claim("m-1-x", MINUTE)
    assert stores.versions.conclude(claimed, VersionState.READY, ready_at=now())
    assert not stores.versions.conclude(claimed, VersionState.FAILED), "it is that job's no more"
    stores.catalogue.refresh("m")
    assert (stores.models.get("m").state, stores.models.get("m").version) == (ModelState.READY, "1")
    stores.catalogue.refresh("nobody")


def test_validation_begins_again_on_another_backend_once(stores: Stores) -> None:
    stores.versions.add(version(state=VersionState.READY, backend="gone"))
    read = stores.versions.get("m", "1")
    assert [stores.versions.begin_again(read, "b", "r") for _ in range(2)] == [True, False]
    again = stores.versions.get("m", "1")
    assert (again.state, again.backend, again.attempts) == (VersionState.VALIDATING, "b", 0)
    stores.versions.begin_removal(again, "r")
    assert not stores.versions.begin_again(stores.versions.by_deployment("m-1-x"), "b", "r")


def test_a_removed_version_frees_its_name_and_in_the_end_its_bundle(stores: Stores) -> None:
    writer = stores.bundles.create()
    writer.write(b"content")
    held = stores.shelf.keep(writer)
    kept = version(bundle=Bundle(held.stored.sha256, 7, "f", held.key))
    stores.versions.add(kept)
    assert stores.shelf.give_back(held)
    stores.shelf.collect(held.key)
    assert stores.bundles.size(held.key), "a version has it"
    stores.versions.begin_removal(kept, "r")
    assert stores.versions.find("m", "1") is None
    assert stores.versions.of(["m"]) == {"m": []}
    stores.versions.add(version(deployment="second"))
    stores.catalogue.forget(kept)
    with pytest.raises(NotFoundError):
        stores.bundles.size(held.key)
    assert stores.versions.by_deployment(kept.deployment) is None


def test_version_numbers_go_on_from_the_highest(stores: Stores) -> None:
    assert stores.versions.next_number("m") == "1"
    for name in ("2", "beta", "10"):
        stores.versions.add(version(name))
    assert stores.versions.next_number("m") == "11"


def test_lost_work_is_found_and_marked_by_one_sweeper_only(stores: Stores) -> None:
    stores.versions.add(version())
    assert stores.versions.unworked(now() - MINUTE, 10) == [], "it may still be on its way"
    later = now() + MINUTE
    (lost,) = stores.versions.unworked(later, 10)
    assert stores.versions.mark_published(lost)
    assert not stores.versions.mark_published(lost)
    stores.versions.claim("m-1-x", MINUTE)
    assert stores.versions.unworked(later, 10) == [], "a job has it"


@pytest.mark.parametrize("sort", ["name", "-name", "updated_at", "-updated_at"])
def test_pages_hold_every_entry_once_also_when_times_are_equal(stores: Stores, sort: str) -> None:
    time = now()
    for number in range(7):
        stores.models.create(msgspec.structs.replace(model(f"m{number}"), updated_at=time))
    seen: list[str] = []
    cursor = None
    while True:
        page = stores.models.page(ModelFilter(), sort, 2, cursor)
        seen += [item.model.model for item in page.items]
        cursor = page.following
        if cursor is None:
            break
    assert sorted(seen) == [f"m{number}" for number in range(7)]


def test_a_database_that_is_away_is_said_to_be(database: Any) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        gone = connect(f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=100", database.name)
        with gone.client, pytest.raises(UnavailableError):
            check(gone)
