"""That lists stay whole while entries are put into segments, wherever that is broken off."""

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pymongo.collection import Collection

from mlhub.common.model import Model, ModelType
from mlhub.storage import indexer, segments
from mlhub.storage.database import connect, now
from mlhub.storage.indexer import Indexer
from mlhub.storage.leases import LeaseStore
from mlhub.storage.models import ModelStore, document_of
from mlhub.storage.search import MARKED
from mlhub.storage.terms import ModelFilter

ENOUGH = 8
WRITES = ("insert_one", "insert_many", "update_one", "update_many", "delete_one", "delete_many")


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def models(database: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelStore]:
    monkeypatch.setattr(indexer, "ENOUGH", ENOUGH)
    connection = connect(database.url, database.name)
    store = ModelStore(connection)
    store.create_indexes()
    yield store
    connection.client.close()


def add(models: ModelStore, names: list[str], **fields: Any) -> None:
    time = now()
    given = {"type": ModelType.KERAS, "backend": None, "created_at": time, "updated_at": time} | fields
    made = [Model(model=name, **given) for name in names]
    models.entries.insert_many([document_of(model) | {"shown": "[]"} for model in made])


def listed(models: ModelStore, sort: str = "name", **wanted: Any) -> list[str]:
    names: list[str] = []
    cursor = None
    while True:
        page = models.page(ModelFilter(**wanted), sort, 50, cursor)
        names += [item.model.model for item in page.items]
        cursor = page.following
        if cursor is None:
            return names


def kill_at(monkeypatch: pytest.MonkeyPatch, last: int) -> None:
    """Let the process die instead of its write number `last`, and of all after it."""
    writes = itertools.count()

    def dying(write: Any) -> Any:
        def method(*args: Any, **options: Any) -> Any:
            if next(writes) >= last:
                raise Killed
            return write(*args, **options)

        return method

    for name in WRITES:
        monkeypatch.setattr(Collection, name, dying(getattr(Collection, name)))


def test_a_process_that_dies_between_two_writes_hides_no_entry(
    models: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "_ABANDONED", timedelta(0))
    database = models.entries.database
    names: list[str] = []
    for number in range(7):
        some = [f"m{number}-{place:03}" for place in range(ENOUGH)]
        add(models, some)
        names += some
        Indexer(database, models).run()
    assert [segment.size for segment in models.segments.live()] == [ENOUGH] * 7
    gone, changed = names[5], names[10]
    models.delete(gone)
    names.remove(gone)
    model = models.get(changed)
    models.replace(model, expected=model.revision)
    some = [f"m8-{place:03}" for place in range(ENOUGH)]
    add(models, some)
    names += some
    for last in range(100):
        with monkeypatch.context() as patch:
            kill_at(patch, last)
            try:
                Indexer(database, models).run()
                break
            except Killed:
                pass
        database["leases"].delete_many({})
        assert listed(models) == names, last
        assert listed(models, "-updated_at", q="m8", type="Keras") == some[::-1], last
        assert sorted(listed(models, "updated_at")) == names, last
    else:
        pytest.fail("it never ends")
    assert last > 8
    assert len(list(models.entries.find(MARKED))) < ENOUGH
    parts = {document["_id"].split("/")[0] for document in database["segment_parts"].find({}, {"_id": 1})}
    assert parts == {segment.key for segment in models.segments.live()}


def test_of_two_processes_one_indexes(models: ModelStore) -> None:
    database = models.entries.database
    add(models, [f"m{place:03}" for place in range(ENOUGH)])
    leases = LeaseStore(database)
    assert leases.take("search-index", "another", timedelta(minutes=1))
    Indexer(database, models).run()
    assert models.segments.live() == ()
    leases.give_back("search-index", "another")
    Indexer(database, models).run()
    assert len(models.segments.live()) == 1


def test_a_process_that_knows_old_segments_alone_lists_all(models: ModelStore) -> None:
    database = models.entries.database
    other = ModelStore(database)
    names = [f"m{place:04}" for place in range(ENOUGH)]
    add(models, names)
    Indexer(database, models).run()
    assert listed(other, type="Keras") == names
    for number in range(1, 8):
        more = [f"m{number}{place:03}" for place in range(ENOUGH)]
        add(models, more)
        names += more
        Indexer(database, models).run()
    assert len(models.segments.live()) == 1
    assert listed(other, type="Keras") == names


def test_entries_are_indexed_again_when_the_record_of_their_form_is_removed(models: ModelStore) -> None:
    database = models.entries.database
    names = [f"m{place:03}" for place in range(ENOUGH)]
    add(models, names)
    Indexer(database, models).run()
    for collection in ("segments", "segment_parts", "forms"):
        database[collection].drop()
    ModelStore(database).create_indexes()
    assert listed(models, q="m") == names
