"""That pages of a searched list hold what a look at every entry finds, in its order, once each."""

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from mlhub.common.errors import MalformedError
from mlhub.common.model import Model, ModelState, ModelType
from mlhub.storage.database import connect, now
from mlhub.storage.indexer import Indexer
from mlhub.storage.models import SORTS, ModelStore, document_of
from mlhub.storage.search import MARKED
from mlhub.storage.terms import ModelFilter, words, words_of

COUNT = 400
WORDS = [
    "digits",
    "digital",
    "Straße",
    "café",
    "neutrino",
    "net",
    "netz",
    "a",
    "ab",
    "hadron",
    "x-ray",
    "größe",
]


def entries() -> list[Model]:
    chance = random.Random(3)
    start = now() - timedelta(days=1)
    made: list[Model] = []
    for number in range(COUNT):
        rare = chance.random() < 0.01
        made.append(
            Model(
                model=f"{chance.choice(WORDS[:2])}_{number}",
                type=chance.choice(list(ModelType)),
                backend="b",
                created_at=start,
                # Several of the same moment.
                updated_at=start + timedelta(seconds=number // 7),
                description=" ".join(chance.choices(WORDS, k=3)) + " unheard" * rare,
                discipline=chance.choice(["physics", "physics", "physics", "biology"]),
                tags=tuple(chance.sample(["red", "green", "blue"], 2)),
                owner=f"group{int(chance.expovariate(0.2))}",
                reference=f"10.1/{number // 2}",
                state=chance.choice([ModelState.READY, ModelState.READY, ModelState.EMPTY]),
            )
        )
    return made


@pytest.fixture(scope="module")
def made() -> list[Model]:
    return entries()


@pytest.fixture(scope="module", params=["marked", "indexed", "changing"])
def models(database_server: Any, made: list[Model], request: pytest.FixtureRequest) -> Iterator[ModelStore]:
    """Entries that are in no segment, in one, or in several with some that have changed or gone since."""
    database = connect(database_server.url, f"search-{request.param}")
    store = ModelStore(database)
    store.create_indexes()
    indexer = Indexer(database, store)
    documents = [document_of(model) | {"shown": "[]"} for model in made]
    if request.param == "changing":
        time = now()
        ghosts = [
            Model(
                model=f"digits_{number}x",
                type=ModelType.KERAS,
                backend=None,
                created_at=time,
                updated_at=time,
            )
            for number in range(100)
        ]
        store.entries.insert_many([document_of(model) | {"shown": "[]"} for model in ghosts])
        # Their words, states and times are of other entries at first.
        other = [
            document | {"_id": first["_id"], "model": first["model"], "recency": f"{document['recency']}-"}
            for first, document in zip(documents[:150], documents[150:300], strict=True)
        ]
        store.entries.insert_many(other)
        indexer.run()
        store.entries.delete_many({"_id": {"$in": [ghost.model for ghost in ghosts]}})
        for document in documents[:150]:
            store.entries.replace_one({"_id": document["_id"]}, document)
        documents = documents[150:]
    for first in range(0, len(documents), 100):
        store.entries.insert_many(documents[first : first + 100])
        if request.param == "changing" and first < 200:
            indexer.run()
    if request.param == "indexed":
        indexer.run()
    yield store
    database.client.close()


def meets(model: Model, wanted: ModelFilter) -> bool:
    plain = {
        model.type: wanted.type,
        model.state: wanted.state,
        model.owner: wanted.owner,
        model.discipline: wanted.discipline,
        model.reference: wanted.reference,
    }
    return (
        all(value is None or value == kept for kept, value in plain.items())
        and (wanted.tag is None or wanted.tag in model.tags)
        and all(any(known.startswith(word) for known in words_of(model)) for word in words(wanted.q))
    )


def expected(made: list[Model], wanted: ModelFilter, sort: str) -> list[str]:
    found = [model for model in made if meets(model, wanted)]
    by_time = sort.endswith("updated_at")
    found.sort(
        key=lambda model: (model.updated_at if by_time else None, model.model) if by_time else model.model,
        reverse=sort.startswith("-"),
    )
    return [model.model for model in found]


def listed(models: ModelStore, wanted: ModelFilter, sort: str, limit: int) -> list[str]:
    seen: list[str] = []
    cursor = None
    while True:
        page = models.page(wanted, sort, limit, cursor)
        assert len(page.items) <= limit
        seen += [item.model.model for item in page.items]
        cursor = page.following
        if cursor is None:
            return seen
        assert len(page.items) == limit, "pages are full until the last one"


WANTED = [
    ModelFilter(),
    ModelFilter(type=ModelType.KERAS),
    ModelFilter(discipline="biology"),
    ModelFilter(owner="group0"),
    ModelFilter(owner="group17"),
    ModelFilter(owner="nobody"),
    ModelFilter(owner=""),
    ModelFilter(tag="red"),
    ModelFilter(state=ModelState.READY),
    ModelFilter(reference="10.1/7"),
    ModelFilter(q="unheard"),
    ModelFilter(q="d"),
    ModelFilter(q="digi"),
    ModelFilter(q="digit"),
    ModelFilter(q="DIGITAL"),
    ModelFilter(q="strasse"),
    ModelFilter(q="CAFE"),
    ModelFilter(q="grosse ray"),
    ModelFilter(q="net hadron neutrino"),
    ModelFilter(q="digits_1"),
    ModelFilter(q="digits 10"),
    ModelFilter(q=".* $where"),
    ModelFilter(q="nosuchword"),
    ModelFilter(q="unheard", type=ModelType.PYTORCH),
    ModelFilter(q="net", type=ModelType.PYTORCH, tag="blue", discipline="physics"),
    ModelFilter(type=ModelType.KERAS, state=ModelState.EMPTY, discipline="biology", tag="green"),
]


@pytest.mark.parametrize("sort", list(SORTS))
def test_every_list_holds_what_a_look_at_all_entries_finds(
    models: ModelStore, made: list[Model], sort: str
) -> None:
    for wanted in WANTED:
        assert listed(models, wanted, sort, 200) == expected(made, wanted, sort), wanted


def test_small_pages_add_up_to_the_same_list(models: ModelStore, made: list[Model]) -> None:
    for wanted in (ModelFilter(owner="group17"), ModelFilter(q="unheard"), ModelFilter(reference="10.1/7")):
        assert listed(models, wanted, "-updated_at", 1) == expected(made, wanted, "-updated_at")


def test_a_cursor_stays_where_it_is_while_entries_come_and_go(models: ModelStore) -> None:
    first = models.page(ModelFilter(), "name", 5, None)
    time = now()
    before = Model(model="0", type=ModelType.KERAS, backend=None, created_at=time, updated_at=time)
    models.create(before)
    try:
        second = models.page(ModelFilter(), "name", 5, first.following)
        names = [item.model.model for item in first.items + second.items]
        assert len(set(names)) == 10
        assert "0" not in names
    finally:
        models.delete("0")


@pytest.mark.parametrize("cursor", ["x", "W10", "", "bnVsbA", "é", "W1sibW9kZWwiXSwgMV0"])
def test_what_is_no_cursor_is_refused(models: ModelStore, cursor: str) -> None:
    with pytest.raises(MalformedError):
        models.page(ModelFilter(), "name", 5, cursor)
    good = models.page(ModelFilter(), "name", 5, None).following
    with pytest.raises(MalformedError):
        models.page(ModelFilter(), "updated_at", 5, good)


def test_documents_of_older_hubs_are_brought_to_their_form(database: Any) -> None:
    connection = connect(database.url, database.name)
    store = ModelStore(connection)
    time = now()
    model = Model(model="old", type=ModelType.KERAS, backend=None, created_at=time, updated_at=time)
    document = document_of(model) | {"terms": ["~ol"], "sample": True}
    for field in ("recency", "unindexed", "words"):
        del document[field]
    store.entries.insert_one(document)
    store.create_indexes()
    (found,) = store.page(ModelFilter(q="ol"), "-updated_at", 5, None).items
    assert (found.model, found.versions) == (model, [])
    connection.client.close()


def test_marked_entries_are_found_by_an_index(models: ModelStore) -> None:
    plan = msgspec.json.encode(models.entries.find(MARKED).explain(), enc_hook=str).decode()
    assert "IXSCAN" in plan
