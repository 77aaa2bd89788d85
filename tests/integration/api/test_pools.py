"""How many processes pools have and should have, as the hub is asked and told."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from mlhub.common.pool import PoolKind
from mlhub.storage.database import connect, now
from mlhub.storage.pools import FRESH, PoolStore

PATH = "/backends/sklearn/workers"


@pytest.fixture
def pools(hub: Any, database_server: Any) -> Iterator[Any]:
    """The collection of pools of the hub; its processes were started by hand, so there are none."""
    collection = connect(database_server.url, "hub")["pools"]
    yield collection
    collection.delete_many({})
    collection.database.client.close()


@pytest.fixture
def store(pools: Any) -> PoolStore:
    """The pools, with a scaler that keeps two of them."""
    store = PoolStore(pools.database)
    store.report("sklearn", PoolKind.PREDICT, actual=1, otherwise=1)
    store.report("sklearn", PoolKind.JOBS, actual=1, otherwise=1)
    return store


def test_without_a_scaler_there_are_no_pools_and_none_can_be_scaled(hub: Any, pools: Any) -> None:
    assert hub.call("GET", PATH).json() == {"backend": "sklearn"}
    answer = hub.call("PUT", PATH, json={"predict": 2})
    assert (answer.status_code, answer.json()["code"]) == (409, "no_scaler")
    assert "started by hand" in answer.json()["detail"]


def test_a_size_is_wished_for_and_shown_beside_what_there_is(hub: Any, store: PoolStore) -> None:
    answer = hub.call("PUT", PATH, json={"predict": 2})
    assert answer.status_code == 202
    assert answer.headers["Location"] == PATH
    shown = hub.call("GET", PATH).json()
    assert shown == answer.json()
    assert (shown["predict"]["desired"], shown["predict"]["actual"]) == (2, 1)
    assert (shown["predict"]["by"], shown["jobs"]["by"]) == ("operator", "settings")
    store.report("sklearn", PoolKind.PREDICT, actual=2, otherwise=1)
    assert hub.call("GET", PATH).json()["predict"]["actual"] == 2


def test_a_scaler_that_fell_silent_is_none(hub: Any, store: PoolStore, pools: Any) -> None:
    pools.update_many({}, {"$set": {"seen_at": now() - FRESH - timedelta(seconds=1)}})
    assert hub.call("PUT", PATH, json={"predict": 2}).json()["code"] == "no_scaler"
    assert store.kept("sklearn") == {}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"predict": 17}, 422, "pool_size"),
        ({"predict": 0}, 422, "pool_size"),
        ({"servers": 2}, 422, "no_such_pool"),
        ({"predict": 2, "servers": 2}, 422, "no_such_pool"),
        ({"predict": -1}, 422, "bad_body"),
        ({"predict": 1.5}, 422, "bad_body"),
        ({"predict": "2"}, 422, "bad_body"),
        ({"predict": True}, 422, "bad_body"),
        ({"predict": None}, 422, "bad_body"),
        ({"predict": 10**30}, 422, "bad_body"),
        ({"predicts": 2}, 422, "bad_body"),
        ({}, 422, "bad_body"),
        ([2], 422, "bad_body"),
    ],
)
def test_nonsense_is_refused_and_changes_nothing(
    hub: Any, store: PoolStore, body: Any, status: int, code: str
) -> None:
    answer = hub.call("PUT", PATH, json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert {pool.desired for pool in store.kept("sklearn").values()} == {1}


def test_what_is_wrong_is_named_by_its_place(hub: Any, store: PoolStore) -> None:
    problem = hub.call("PUT", PATH, json={"predict": 99, "jobs": 2}).json()
    assert [error["pointer"] for error in problem["errors"]] == ["/predict"]
    assert "between 1 and 16" in problem["detail"]


def test_a_backend_that_there_is_not(hub: Any) -> None:
    for method, body in (("GET", None), ("PUT", {"predict": 1})):
        answer = hub.call(method, "/backends/caffe/workers", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "backend_not_found")


def test_a_body_that_is_no_json(hub: Any) -> None:
    answer = hub.call("PUT", PATH, data=b"{predict", headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_json")
