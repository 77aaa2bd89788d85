"""The stores on a real database: what is unique, what changes once only, what lists hold."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from mlhub.common import tensor
from mlhub.common.errors import (
    ConflictError,
    NotFoundError,
    PreconditionFailedError,
    TooLargeError,
    UnavailableError,
)
from mlhub.common.model import Bundle, Model, ModelState, ModelType, Version, VersionState
from mlhub.common.prediction import Prediction, PredictionStatus
from mlhub.storage.cards import CardStore
from mlhub.storage.catalogue import Catalogue
from mlhub.storage.copies import CopyStore
from mlhub.storage.database import check, connect, now
from mlhub.storage.directory import DirectoryBundleStore
from mlhub.storage.models import ModelStore
from mlhub.storage.predictions import PredictionStore
from mlhub.storage.shelf import BundleShelf
from mlhub.storage.terms import ModelFilter
from mlhub.storage.versions import VersionStore

MINUTE = timedelta(minutes=1)


class Stores(msgspec.Struct, frozen=True):
    models: Any
    versions: Any
    predictions: Any
    catalogue: Any
    bundles: Any
    shelf: Any


@pytest.fixture
def stores(database: Any, tmp_path: Any) -> Iterator[Stores]:
    db = connect(database.url, database.name)
    models, versions = ModelStore(db), VersionStore(db)
    predictions = PredictionStore(db, timedelta(days=1))
    for store in (models, versions, predictions):
        store.create_indexes()
    bundles = DirectoryBundleStore(tmp_path)
    shelf = BundleShelf(bundles, CopyStore(db), versions)
    catalogue = Catalogue(models, versions, shelf, CardStore(db))
    yield Stores(models, versions, predictions, catalogue, bundles, shelf)
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


def prediction(identity: str) -> Prediction:
    return Prediction(
        id=identity,
        model="m",
        version="1",
        backend="b",
        deployment="m-1-x",
        inputs=(tensor.encode("x", np.arange(3.0)),),
        created_at=now(),
        published_at=now(),
    )


def test_entries_come_back_as_they_were(stores: Stores) -> None:
    strange = {"$where": 1, "a.b": {"": None}, "ü": [1, 2.5, True], "big": 2**62}
    kept = model(meta=strange, tags=("a", "b"), input_example=[[1, 2]], description="ä")
    stores.models.create(kept)
    assert stores.models.get("m") == kept
    with pytest.raises(ConflictError):
        stores.models.create(model())
    with pytest.raises(NotFoundError):
        stores.models.get("other")


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
    stores.predictions.add(prediction("p"))
    for claim in (
        lambda: stores.versions.claim("m-1-x", MINUTE),
        lambda: stores.predictions.claim("p", MINUTE),
    ):
        with ThreadPoolExecutor(8) as pool:
            claimed = [one for one in pool.map(lambda _, claim=claim: claim(), range(8)) if one is not None]
        assert [one.attempts for one in claimed] == [1]
    assert stores.predictions.claim("p", MINUTE) is None
    stores.predictions.release("p")
    assert stores.predictions.claim("p", -MINUTE).attempts == 2
    assert stores.predictions.claim("p", MINUTE).attempts == 3, "an expired lease holds nobody off"


def test_an_end_is_an_end(stores: Stores) -> None:
    stores.predictions.add(prediction("p"))
    assert stores.predictions.end("p", PredictionStatus.CANCELED)
    assert not stores.predictions.end("p", PredictionStatus.SUCCEEDED, result=[])
    assert stores.predictions.claim("p", MINUTE) is None
    assert stores.predictions.get("p").status is PredictionStatus.CANCELED
    assert not stores.predictions.end("nobody", PredictionStatus.FAILED)


def test_results_come_back_as_they_were(stores: Stores) -> None:
    stores.predictions.add(prediction("p"))
    outputs = (tensor.encode("y", np.array([1, 2])), tensor.encode("z", np.array([b"a"], dtype=object)))
    stores.predictions.claim("p", MINUTE)
    assert stores.predictions.end(
        "p", PredictionStatus.SUCCEEDED, result=msgspec.to_builtins(outputs, builtin_types=(bytes,))
    )
    assert stores.predictions.get("p").result == outputs


def test_the_summary_follows_the_versions(stores: Stores) -> None:
    stores.models.create(model())
    stores.versions.add(version("1"))
    stores.catalogue.refresh("m")
    assert stores.models.get("m").state is ModelState.VALIDATING
    assert stores.versions.change("m-1-x", VersionState.READY, ready_at=now())
    assert not stores.versions.change("m-1-x", VersionState.FAILED), "ready versions do not fail"
    stores.catalogue.refresh("m")
    assert (stores.models.get("m").state, stores.models.get("m").version) == (ModelState.READY, "1")
    stores.catalogue.refresh("nobody")


def test_a_removed_version_frees_its_name_and_in_the_end_its_bundle(stores: Stores) -> None:
    writer = stores.bundles.create()
    writer.write(b"content")
    held = stores.shelf.keep(writer)
    kept = version(bundle=Bundle(held.stored.sha256, 7, "f", held.key))
    stores.versions.add(kept)
    assert stores.shelf.give_back(held)
    stores.shelf.collect(held.key)
    assert stores.bundles.exists(held.key), "a version has it"
    stores.versions.begin_removal(kept)
    assert stores.versions.find("m", "1") is None
    assert stores.versions.of(["m"]) == {"m": []}
    stores.versions.add(version(deployment="second"))
    stores.catalogue.forget(kept)
    assert not stores.bundles.exists(held.key)
    assert stores.versions.by_deployment(kept.deployment) is None


def test_version_numbers_go_on_from_the_highest(stores: Stores) -> None:
    assert stores.versions.next_number("m") == "1"
    for name in ("2", "beta", "10"):
        stores.versions.add(version(name))
    assert stores.versions.next_number("m") == "11"


def test_lost_work_is_found_and_marked_by_one_sweeper_only(stores: Stores) -> None:
    stores.predictions.add(prediction("p"))
    stores.versions.add(version())
    assert stores.predictions.unworked(now() - MINUTE, 10) == [], "it may still be on its way"
    later = now() + MINUTE
    (lost,) = stores.predictions.unworked(later, 10)
    (lost_version,) = stores.versions.unworked(later, 10)
    assert stores.predictions.mark_published(lost)
    assert stores.versions.mark_published(lost_version)
    assert not stores.predictions.mark_published(lost)
    assert not stores.versions.mark_published(lost_version)
    stores.predictions.claim("p", MINUTE)
    assert stores.predictions.unworked(later, 10) == [], "a worker has it"


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
    from mlhub.local.ports import free_ports

    port = free_ports(("nobody",), {})["nobody"]
    gone = connect(f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=100", database.name)
    with pytest.raises(UnavailableError):
        check(gone)
    gone.client.close()


def test_of_two_predictions_with_one_key_the_first_is_kept(stores: Stores) -> None:
    def add(number: int) -> str:
        new = msgspec.structs.replace(prediction(f"p{number}"), key="k", order_digest=str(number))
        kept = stores.predictions.add(new)
        assert kept.order_digest == kept.id.removeprefix("p")
        return str(kept.id)

    with ThreadPoolExecutor(8) as pool:
        (winner,) = set(pool.map(add, range(8)))
    assert [item.id for item in stores.predictions.page(None, None, 10, None).items] == [winner]
    assert stores.predictions.add(prediction("q")).id == "q"
    assert stores.predictions.add(prediction("r")).id == "r", "keys are no must"


def test_lists_of_predictions_are_filtered_and_stay_stable_while_others_come(stores: Stores) -> None:
    for number in range(6):
        stores.predictions.add(prediction(f"p{number}"))
    stores.predictions.add(msgspec.structs.replace(prediction("p6"), model="other"))
    stores.predictions.end("p1", PredictionStatus.CANCELED)
    first = stores.predictions.page("m", PredictionStatus.STARTING, 2, None)
    stores.predictions.add(prediction("p7"))
    second = stores.predictions.page("m", PredictionStatus.STARTING, 2, first.following)
    third = stores.predictions.page("m", PredictionStatus.STARTING, 2, second.following)
    found = [item.id for page in (first, second, third) for item in page.items]
    assert found == ["p5", "p4", "p3", "p2", "p0"]
    assert third.following is None
    canceled = stores.predictions.page(None, PredictionStatus.CANCELED, 2, None)
    assert [item.id for item in canceled.items] == ["p1"]


def test_predictions_kept_together_fail_alone(stores: Stores) -> None:
    stores.predictions.add(msgspec.structs.replace(prediction("first"), key="k", order_digest="1"))
    large = (tensor.encode("x", np.zeros(3 * 1024 * 1024)),)
    new = [
        prediction("a"),
        msgspec.structs.replace(prediction("b"), key="k", order_digest="2"),
        msgspec.structs.replace(prediction("c"), key="l", order_digest="3"),
        msgspec.structs.replace(prediction("d"), key="l", order_digest="4"),
    ]
    kept = stores.predictions.add_all(new)
    assert [item.id for item in kept] == ["a", "first", "c", "c"]
    oversized = msgspec.structs.replace(prediction("e"), inputs=large)
    good, bad = stores.predictions.add_all([prediction("f"), oversized])
    assert good.id == "f"
    assert isinstance(bad, TooLargeError)
    assert [item.id for item in stores.predictions.page(None, None, 10, None).items] == [
        "first",
        "f",
        "c",
        "a",
    ]
    assert stores.predictions.add_all([prediction("g")])[0].id == "g"
