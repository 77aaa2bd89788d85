"""The last hour outlives the processes that took its points."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from mlhub.common.operations import Point
from mlhub.storage.database import connect
from mlhub.storage.points import PointStore

STEP = 10.0


@pytest.fixture
def points(database: Any) -> Iterator[PointStore]:
    db = connect(database.url, database.name)
    store = PointStore(db, STEP)
    store.create_indexes()
    yield store
    db.client.close()


def point(moment: float, requests: float = 1) -> Point:
    return Point(moment, requests, 0, None, 0.1)


def test_points_of_the_last_hour_come_back_in_order(points: PointStore) -> None:
    start = (time.time() - 60) // STEP * STEP
    for moment in (start + 20, start, start + 10, start - 7200):
        points.keep(point(moment))
    assert points.latest() == [point(start), point(start + 10), point(start + 20)]


def test_of_several_processes_that_saw_the_same_one_keeps_it(points: PointStore) -> None:
    start = (time.time() - 60) // STEP * STEP
    points.keep(point(start + 1, requests=5))
    points.keep(point(start + 3, requests=6))
    assert points.latest() == [point(start + 1, requests=5)]
