"""What is over goes, and nothing else; the indexes say the same to a database that does it by itself."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from mlhub.storage.database import connect, now
from mlhub.storage.expiry import Expiry
from mlhub.storage.points import KEPT, PointStore
from mlhub.storage.predictions import PredictionStore

HOUR = timedelta(hours=1)


@pytest.fixture
def db(database: Any) -> Iterator[Any]:
    db = connect(database.url, database.name)
    PredictionStore(db, HOUR).create_indexes()
    PointStore(db, 10.0).create_indexes()
    yield db
    db.client.close()


def test_only_what_is_over_is_removed(db: Any) -> None:
    past, future = now() - timedelta(seconds=1), now() + HOUR
    for name in ("predictions", "prediction_results"):
        db[name].insert_many(
            [{"_id": f"old{number}", "expires_at": past, "keys": [f"old{number}"]} for number in range(450)]
            + [{"_id": f"new{number}", "expires_at": future, "keys": [f"new{number}"]} for number in range(3)]
            + [{"_id": "timeless", "keys": ["timeless"]}]
        )
    kept = timedelta(seconds=KEPT)
    db["points"].insert_many(
        [
            {"_id": 1, "taken_at": now() - kept - timedelta(seconds=1)},
            {"_id": 2, "taken_at": now() - kept + HOUR / 2},
        ]
    )
    assert Expiry(db).remove() == 901
    for name in ("predictions", "prediction_results"):
        assert {one["_id"] for one in db[name].find({}, {"_id": 1})} == {"new0", "new1", "new2", "timeless"}
    assert [one["_id"] for one in db["points"].find()] == [2]
    assert Expiry(db).remove() == 0


def test_every_index_by_which_mongodb_removes_is_known(db: Any) -> None:
    expiring = {
        (name, index["key"][0][0], index["expireAfterSeconds"])
        for name in db.list_collection_names()
        for index in db[name].index_information().values()
        if "expireAfterSeconds" in index
    }
    assert expiring == {
        ("predictions", "expires_at", 0),
        ("prediction_results", "expires_at", 0),
        ("points", "taken_at", KEPT),
    }
