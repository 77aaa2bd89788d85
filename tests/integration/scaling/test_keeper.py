"""The keeper brings pools to the sizes that are wished for; the records are real, the processes are numbers."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from mlhub.common.pool import PoolKind, PoolSettings
from mlhub.scaling.keeper import Keeper
from mlhub.scaling.rules import Sample
from mlhub.scaling.scaler import ScalerError
from mlhub.storage.database import connect
from mlhub.storage.leases import LeaseStore
from mlhub.storage.pools import PoolStore

PREDICT = ("sklearn", PoolKind.PREDICT)
JOBS = ("sklearn", PoolKind.JOBS)


class Numbers:
    """A scaler whose processes are numbers, each change a step at a time."""

    def __init__(self, **sizes: int) -> None:
        self.sizes = {PoolKind(kind): size for kind, size in sizes.items()}
        self.broken: set[PoolKind] = set()

    def keep(self, backend: str, kind: PoolKind, count: int) -> int | None:
        if kind in self.broken:
            raise ScalerError("It does not do as told.")
        size = self.sizes.get(kind)
        if size is None:
            return None
        self.sizes[kind] += (count > size) - (count < size)
        return self.sizes[kind]


@pytest.fixture
def records(database: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    # The keeper that acts keeps its lease, however slow the machine is.
    monkeypatch.setattr("mlhub.scaling.keeper._LEASE", timedelta(minutes=10))
    opened = connect(database.url, database.name)
    yield opened
    opened.client.close()


@pytest.fixture
def store(records: Any) -> PoolStore:
    return PoolStore(records)


def keeper(records: Any, scaler: Numbers, *, waiting: int = 0, **settings: Any) -> Keeper:
    pools = {key: PoolSettings.model_validate(settings) for key in (PREDICT, JOBS)}

    def look(_backend: str, _kind: PoolKind) -> Sample:
        return Sample(waiting, 0.0)

    return Keeper(pools, PoolStore(records), LeaseStore(records), scaler, look, 0.01)


def test_a_pool_begins_with_its_minimum_and_goes_to_what_is_wished_for(
    records: Any, store: PoolStore
) -> None:
    scaler = Numbers(predict=1, jobs=1)
    pools = keeper(records, scaler)
    pools.keep()
    assert {pool.desired for pool in store.kept("sklearn").values()} == {1}
    store.wish(*PREDICT, 3, "operator")
    for size in (2, 3, 3):
        pools.keep()
        pool = store.kept("sklearn")[PoolKind.PREDICT]
        assert (pool.actual, pool.desired, pool.by) == (size, 3, "operator")
    assert scaler.sizes[PoolKind.JOBS] == 1


def test_a_pool_that_there_is_not_is_not_reported(records: Any, store: PoolStore) -> None:
    keeper(records, Numbers(predict=1)).keep()
    assert set(store.kept("sklearn")) == {PoolKind.PREDICT}


def test_a_wish_of_other_bounds_is_brought_into_these(records: Any, store: PoolStore) -> None:
    first = keeper(records, Numbers(predict=1))
    first.keep()
    store.wish(*PREDICT, 9, "operator")
    first.stop()
    first.run()
    keeper(records, Numbers(predict=9), maximum=4).keep()
    pool = store.kept("sklearn")[PoolKind.PREDICT]
    assert (pool.desired, pool.by) == (4, "settings")


def test_of_two_keepers_one_acts_until_it_ends(records: Any, store: PoolStore) -> None:
    scaler, other = Numbers(predict=1), Numbers(predict=1)
    first, second = keeper(records, scaler), keeper(records, other)
    first.keep()
    store.wish(*PREDICT, 2, "operator")
    second.keep()
    assert other.sizes[PoolKind.PREDICT] == 1
    first.keep()
    assert scaler.sizes[PoolKind.PREDICT] == 2
    first.stop()
    first.run()
    second.keep()
    assert other.sizes[PoolKind.PREDICT] == 2


def test_trouble_with_one_pool_leaves_the_others_alone(records: Any, store: PoolStore) -> None:
    scaler = Numbers(predict=1, jobs=1)
    pools = keeper(records, scaler)
    pools.keep()
    store.wish(*PREDICT, 2, "operator")
    store.wish(*JOBS, 2, "operator")
    scaler.broken = {PoolKind.PREDICT}
    pools.keep()
    assert scaler.sizes == {PoolKind.PREDICT: 1, PoolKind.JOBS: 2}
    scaler.broken = set()
    pools.keep()
    assert scaler.sizes[PoolKind.PREDICT] == 2


def test_a_pool_that_follows_its_load_grows_and_says_so(records: Any, store: PoolStore) -> None:
    pools = keeper(records, Numbers(predict=1), waiting=12, automatic=True, maximum=4)
    pools.keep()
    pools.keep()
    pool = store.kept("sklearn")[PoolKind.PREDICT]
    assert (pool.desired, pool.by) == (3, "load")
