"""What is put on the queues and when: long lanes in turn, what is due, and what is too late; on a real database."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from mlhub.common import tensor
from mlhub.common.prediction import Prediction
from mlhub.storage.database import connect, now
from mlhub.storage.groups import name_at
from mlhub.storage.lanes import LaneStore
from mlhub.storage.leases import LeaseStore
from mlhub.storage.predictions import PredictionStore
from mlhub.storage.work import WorkStore
from mlhub.workers.attempts import AttemptPolicy
from mlhub.workers.dispatcher import Dispatcher, Way
from mlhub.workers.overlooked import Overlooked

MINUTE = timedelta(minutes=1)


class Queue:
    """A queue that somebody takes messages from."""

    def __init__(self) -> None:
        self.messages: list[list[str]] = []
        self.sent: list[list[str]] = []

    def publish(self, task: str, record: str | list[str], backend: str) -> None:
        assert (task, backend) == ("mlhub.job.predict", "b")
        assert isinstance(record, list)
        self.messages.append(record)
        self.sent.append(record)

    def waiting(self, backend: str) -> int:
        assert backend == "b"
        return len(self.messages)


class Scene:
    def __init__(self, database: Any, deadline: timedelta = timedelta(days=1)) -> None:
        self.db = connect(database.url, database.name)
        self.predictions = PredictionStore(self.db, timedelta(days=2))
        self.predictions.create_indexes()
        self.work = WorkStore(self.db, timedelta(days=2))
        self.lanes = LaneStore(self.db)
        self.queue, self.jobs = Queue(), Queue()
        self.dispatcher = self.another(deadline)
        self.count = 0

    def another(self, deadline: timedelta = timedelta(days=1)) -> Dispatcher:
        return Dispatcher(
            self.work,
            self.lanes,
            LeaseStore(self.db),
            Way(self.jobs.publish, self.jobs.waiting),
            Way(self.queue.publish, self.queue.waiting),
            AttemptPolicy(3, MINUTE),
            deadline,
        )

    def hold(self, model: str, groups: int, size: int = 1, age: timedelta = MINUTE) -> list[str]:
        """Keep groups that wait for their turn; return their names."""
        created = now() - age
        names = []
        for _ in range(groups):
            self.count += 1
            name = f"{name_at(created.timestamp() + self.count / 100)}{self.count:016x}"
            new = [order(f"{name}{place}", model, created) for place in range(size)]
            self.predictions.add_all(new)
            names.append(f"{name}0")
        self.lanes.hold(new[0].lane, "b", names[0])
        return names

    def take_all(self) -> None:
        """Take all messages from the queue, as workers do."""
        for message in self.queue.messages:
            assert self.work.claim(message, "worker", MINUTE)
        self.queue.messages.clear()

    def published(self) -> list[str]:
        return [name for message in self.queue.sent + self.jobs.sent for name in message]


def order(name: str, model: str, created: Any, published: Any = None) -> Prediction:
    return Prediction(
        id=name,
        model=model,
        version="1",
        backend="b",
        deployment="d",
        inputs=(tensor.encode("x", np.zeros((1, 1))),),
        created_at=created,
        published_at=published,
    )


@pytest.fixture
def scene(database: Any) -> Iterator[Scene]:
    made = Scene(database)
    yield made
    made.db.client.close()


def test_of_a_long_lane_only_the_first_are_on_the_queue_in_their_order(scene: Scene) -> None:
    names = scene.hold("m", 40, size=128)
    scene.dispatcher.dispatch()
    assert len(scene.queue.messages) == 2, "nobody takes any"
    assert scene.published() == names[:4], "two groups a message"
    scene.dispatcher.dispatch()
    assert len(scene.queue.messages) == 2
    while len(scene.published()) < len(names):
        scene.take_all()
        assert scene.dispatcher.dispatch() > 0
        assert len(scene.queue.messages) <= 8
    assert scene.published() == names


def test_none_is_passed_over_where_many_came_at_once_and_some_had_their_turn(scene: Scene) -> None:
    names = scene.hold("m", 300)
    scene.work.mark_published(names[:20], now())
    created = now() - MINUTE / 3
    late = f"{name_at(created.timestamp())}late"
    scene.predictions.add(order(late, "m", created))
    (lane,) = scene.lanes.held()
    found = scene.work.waiting(lane.name, lane.cursor, 1000, 1000)
    assert [group.id for group in found] == [*names[20:], late]
    found = scene.work.waiting(lane.name, lane.cursor, 256, 256)
    assert [group.id for group in found] == names[20:276]


def test_what_waits_for_its_turn_counts_as_waiting(scene: Scene) -> None:
    assert scene.predictions.waiting_since("b") is None
    scene.hold("m", 3, age=10 * MINUTE)
    since = scene.predictions.waiting_since("b")
    assert since is not None
    assert timedelta(seconds=-1) < now() - 10 * MINUTE - since < timedelta(seconds=60)


def test_small_groups_go_in_one_message(scene: Scene) -> None:
    names = scene.hold("m", 300)
    scene.dispatcher.dispatch()
    assert scene.queue.sent == [names[:8], names[8:16]]


def test_lanes_are_served_in_turn(scene: Scene) -> None:
    long = scene.hold("long", 20, size=256)
    short = scene.hold("short", 1)
    scene.dispatcher.dispatch()
    assert sorted(scene.queue.sent) == sorted([[long[0]], [short[0]]])


def test_a_lane_is_over_when_nothing_is_held_back_any_more(scene: Scene) -> None:
    scene.hold("m", 1)
    scene.dispatcher.dispatch()
    scene.queue.messages.clear()
    # Just now is a matter of seconds: here it lasts.
    scene.db["lanes"].update_one({"_id": "b/m/"}, {"$set": {"held_at": now() + MINUTE}})
    scene.dispatcher.dispatch()
    (lane,) = scene.lanes.held()
    assert lane.name == "b/m/", "one may have been held back just now"
    scene.db["lanes"].update_one({"_id": lane.name}, {"$set": {"held_at": now() - MINUTE}})
    scene.lanes.release(lane)
    assert scene.lanes.is_held("b/m/"), "one was, since it was read"
    scene.dispatcher.dispatch()
    assert scene.lanes.held() == []


def test_one_of_several_dispatchers_acts(scene: Scene) -> None:
    scene.hold("m", 3)
    assert scene.dispatcher.dispatch() == 3
    scene.hold("n", 3)
    scene.queue.messages.clear()
    assert scene.another().dispatch() == 0


def test_what_is_lost_is_published_again_when_the_queue_is_empty(scene: Scene) -> None:
    scene.predictions.add(order("p", "m", now(), now() - MINUTE))
    scene.jobs.messages.append(["other"])
    assert scene.dispatcher.dispatch() == 0, "it waits there, most likely"
    scene.jobs.messages.clear()
    assert scene.another().dispatch() == 0, "this one does not act"
    scene.db["leases"].delete_many({})
    assert scene.another().dispatch() == 1
    assert scene.published() == ["p"]


def test_what_is_too_late_fails(database: Any) -> None:
    scene = Scene(database, deadline=timedelta(hours=1))
    try:
        late = scene.hold("m", 70, age=timedelta(hours=2))
        scene.predictions.add(order("p", "m", now() - timedelta(hours=2), now() - MINUTE))
        good = scene.hold("n", 1)
        scene.queue.messages += [["other"]] * 8
        scene.dispatcher.dispatch()
        for name in (late[0], late[-1], "p"):
            found = scene.predictions.get(name)
            assert (found.status, found.error) == (
                "failed",
                "It was not done within 1 h, the most that this hub lets work wait.",
            )
        assert scene.predictions.get(good[0]).status == "starting"
        assert scene.published() == []
    finally:
        scene.db.client.close()


def test_what_no_lane_leads_to_has_its_turn(scene: Scene) -> None:
    forgotten = scene.hold("forgotten", 3)
    scene.db["lanes"].delete_many({})
    passed = scene.hold("passed", 2)
    scene.db["lanes"].update_one({"_id": "b/passed/"}, {"$set": {"cursor": name_at(now().timestamp() - 1)}})
    led_to = scene.hold("held", 1)
    young = scene.hold("young", 1, age=timedelta(seconds=5))
    scene.db["lanes"].delete_one({"_id": "b/young/"})
    overlooked = Overlooked(scene.work, scene.lanes)
    # Each look goes a stretch further.
    assert sum(overlooked.find(scene.lanes.held()) for _ in range(200)) == 2, "a group and all after it"
    while scene.dispatcher.dispatch():
        scene.take_all()
    assert sorted(scene.published()) == sorted([*forgotten, *passed, *led_to])
    assert scene.predictions.get(young[0]).published_at is None
    looked = scene.lanes.looked_until()
    assert looked is not None
    assert name_at(now().timestamp() - 60) < looked < name_at(now().timestamp() - 25)


def test_another_dispatcher_goes_on_where_the_last_one_looked(scene: Scene) -> None:
    forgotten = scene.hold("m", 2, age=20 * MINUTE)
    scene.db["lanes"].delete_many({})
    scene.lanes.note_looked(name_at(now().timestamp() - 25 * 60))
    overlooked = Overlooked(scene.work, scene.lanes)
    assert sum(overlooked.find(scene.lanes.held()) for _ in range(100)) == 1
    assert scene.dispatcher.dispatch() == 2
    assert scene.published() == forgotten


def test_a_lane_goes_back_and_never_forward_for_a_group(scene: Scene) -> None:
    names = scene.hold("m", 3)
    (before,) = scene.lanes.held()
    scene.lanes.recall("b/m/", "b", names[2])
    assert scene.lanes.held()[0].cursor == before.cursor, "the lane comes to it anyway"
    (lane,) = scene.lanes.held()
    assert scene.lanes.advance(lane, f"{names[2]}!")
    scene.lanes.recall("b/m/", "b", names[1])
    assert scene.lanes.held()[0].cursor == names[1]
    assert not scene.lanes.advance(lane, f"{names[2]}!"), "it is not where it was seen"
    assert scene.lanes.held()[0].cursor == names[1]


def test_the_time_of_a_hub_that_was_down_is_passed_quickly(scene: Scene) -> None:
    forgotten = scene.hold("m", 1)
    scene.db["lanes"].delete_many({})
    scene.lanes.note_looked(name_at((now() - timedelta(days=2)).timestamp()))
    overlooked = Overlooked(scene.work, scene.lanes)
    assert sum(overlooked.find(scene.lanes.held()) for _ in range(60)) == 1
    assert scene.dispatcher.dispatch() == 1
    assert scene.published() == forgotten
