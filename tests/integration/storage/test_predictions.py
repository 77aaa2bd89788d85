"""Predictions on a real database: kept in groups, claimed and ended once, each found by itself."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import pymongo
import pytest

from mlhub.common import tensor
from mlhub.common.errors import NotFoundError, TooLargeError
from mlhub.common.prediction import Prediction, PredictionStatus, group_of
from mlhub.common.webhook import Webhook
from mlhub.storage.database import connect, now
from mlhub.storage.groups import LARGE
from mlhub.storage.predictions import PredictionStore
from mlhub.storage.webhooks import WebhookStore
from mlhub.storage.work import WorkStore

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


class Stores(msgspec.Struct, frozen=True):
    predictions: PredictionStore
    work: WorkStore
    collection: Any
    """What both work on, as the driver sees it."""
    database: Any

    def claim(self, *names: str, holder: str = "h", lease: timedelta = MINUTE, orphaned: bool = False) -> Any:
        return self.work.claim(names, holder, lease, orphaned=orphaned)

    def keep(self, *names: str, **fields: Any) -> list[Prediction]:
        time = now()
        fields = {"created_at": time, "published_at": time, **fields}
        kept = self.predictions.add_all([prediction(name, **fields) for name in names])
        return [item for item in kept if isinstance(item, Prediction)]


@pytest.fixture
def stores(database: Any) -> Iterator[Stores]:
    db = connect(database.url, database.name)
    predictions = PredictionStore(db, DAY)
    predictions.create_indexes()
    yield Stores(predictions, WorkStore(db, DAY), db["predictions"], db)
    db.client.close()


def prediction(identity: str, **fields: Any) -> Prediction:
    values: dict[str, Any] = {
        "id": identity,
        "model": "m",
        "version": "1",
        "backend": "b",
        "deployment": "m-1-x",
        "inputs": (tensor.encode("x", np.arange(3.0)),),
        "created_at": now(),
        "published_at": now(),
    }
    return Prediction(**values | fields)


def succeeded(item: Prediction, value: float = 1.0, size: int = 1) -> Prediction:
    result = (tensor.encode("y", np.full(size, value)), tensor.encode("z", np.array([b"a"], dtype=object)))
    return msgspec.structs.replace(
        item, status=PredictionStatus.SUCCEEDED, result=result, completed_at=now(), predict_time=0.5
    )


def test_those_that_come_together_are_one_document_and_each_is_found(stores: Stores) -> None:
    kept = stores.keep("a", "b", "c", labels=("no", "yes"), single=True)
    assert [item.id for item in kept] == ["a-00", "a-01", "a-02"]
    assert stores.collection.count_documents({}) == 1
    for item in kept:
        assert stores.predictions.get(item.id) == msgspec.structs.replace(item, lease_until=item.created_at)
    (alone,) = stores.keep("d")
    assert alone.id == "d"
    assert stores.predictions.get("d").inputs == alone.inputs
    for unknown in ("a", "a-03", "d-00", "nobody"):
        with pytest.raises(NotFoundError):
            stores.predictions.get(unknown)


def test_those_of_different_models_and_owners_are_groups_of_their_own(stores: Stores) -> None:
    new = [prediction("a"), prediction("b", model="n"), prediction("c", owner="o"), prediction("d")]
    kept = stores.predictions.add_all(new)
    assert [item.id for item in kept if isinstance(item, Prediction)] == ["a-00", "b", "c", "a-01"]


def test_a_group_is_claimed_once_until_its_lease_ends(stores: Stores) -> None:
    stores.keep("a", "b")
    stores.keep("c")
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda number: stores.claim("a", "c", holder=str(number)), range(8)))
    taken = [claim for some in claims for claim in some]
    assert sorted(claim.group.id for claim in taken) == ["a", "c"]
    assert {(claim.group.attempts, claim.orphaned) for claim in taken} == {(1, False)}
    assert stores.predictions.get("a-01").status is PredictionStatus.PROCESSING
    assert stores.claim("a", "c") == []
    (again,) = stores.claim("a", orphaned=True)
    assert (again.group.attempts, again.orphaned) == (2, True), "the broker knows that its worker is gone"
    stores.work.release(["a"], "h", timedelta())
    (third,) = stores.claim("a", lease=-MINUTE)
    assert not third.orphaned, "it was given back"
    (fourth,) = stores.claim("a", holder="other")
    assert (fourth.group.attempts, fourth.orphaned) == (4, True), "an expired lease holds nobody off"


def test_a_lease_is_prolonged_by_its_holder_only(stores: Stores) -> None:
    stores.keep("a")
    stores.claim("a", lease=-MINUTE)
    assert stores.work.renew(["a"], "h", MINUTE)
    assert stores.claim("a", holder="other") == []
    assert not stores.work.renew(["a"], "other", MINUTE)


def test_outcomes_of_many_groups_are_recorded_together(stores: Stores) -> None:
    stores.keep("a", "b")
    stores.keep("c")
    claims = stores.claim("a", "c")
    done = [(claim.group, [succeeded(item) for item in claim.group.open]) for claim in claims]
    assert all(group is not None and not group.open for group in stores.work.record(done))
    for name in ("a-00", "a-01", "c"):
        found = stores.predictions.get(name)
        assert (found.status, found.predict_time) == (PredictionStatus.SUCCEEDED, 0.5)
        assert found.result == succeeded(found).result
        assert found.started_at is not None
        assert found.inputs == (), "they are of no more use"
    assert stores.claim("a", "c") == []
    assert stores.work.due() == []


def test_a_cancelled_one_stays_cancelled_and_takes_no_other_along(stores: Stores) -> None:
    stores.keep("a", "b")
    stores.keep("c")
    claims = stores.claim("a", "c")
    assert stores.predictions.end("a-00", PredictionStatus.CANCELED)
    assert not stores.predictions.end("a-00", PredictionStatus.SUCCEEDED)
    stores.work.record([(claim.group, [succeeded(item) for item in claim.group.open]) for claim in claims])
    states = [stores.predictions.get(name).status for name in ("a-00", "a-01", "c")]
    assert states == ["canceled", "succeeded", "succeeded"]
    assert not stores.predictions.end("a-01", PredictionStatus.CANCELED)
    assert not stores.predictions.end("nobody", PredictionStatus.FAILED)


def test_of_two_workers_with_one_group_the_last_one_records(stores: Stores) -> None:
    stores.keep("a", "b")
    (first,) = stores.claim("a", holder="slow")
    (second,) = stores.claim("a", holder="next", orphaned=True)
    assert stores.work.record([(first.group, [succeeded(first.group.open[0], 1.0)])]) == [None]
    (later,) = stores.work.record([(second.group, [succeeded(second.group.open[0], 2.0)])])
    assert later is not None
    stores.work.record([(later, [succeeded(later.open[0], 3.0)])])
    stores.work.record([(first.group, [succeeded(item, 1.0) for item in first.group.open])])
    values = [tensor.decode(stores.predictions.get(name).result[0]).tolist() for name in ("a-00", "a-01")]
    assert values == [[2.0], [3.0]]


def test_large_outputs_come_back_as_they_were(stores: Stores) -> None:
    stores.keep("a", "b")
    (claim,) = stores.claim("a")
    done = [succeeded(item, 7.0, LARGE) for item in claim.group.open]
    stores.work.record([(claim.group, done)])
    assert stores.predictions.get("a-01").result == done[1].result
    assert [item.result for item in stores.predictions.page(None, None, 9, None).items] == [(), ()]


def test_what_nobody_works_on_is_due_after_a_while(stores: Stores) -> None:
    stores.keep("c", published_at=now() - MINUTE)
    (lost,) = stores.work.due()
    assert lost.id == "c"
    assert not lost.announced_after(now() - timedelta(seconds=30))
    stores.work.mark_published(["c"], now() + MINUTE)
    assert stores.work.due() == [], "its message goes out"
    stores.keep("a", "b")
    stores.claim("a")
    stores.work.release(["a"], "h", timedelta())
    (again,) = stores.work.due()
    assert again.id == "a"
    assert not again.announced_after(now() - MINUTE), "its message is used up"
    stores.work.release(["a"], "h", MINUTE)
    stores.claim("a")
    stores.work.release(["a"], "h", MINUTE)
    assert stores.work.due() == [], "there is a pause before the next try"


def test_of_two_predictions_with_one_key_the_first_is_kept(stores: Stores) -> None:
    def add(number: int) -> str:
        new = prediction(f"p{number}", key="k", order_digest=str(number))
        kept = stores.predictions.add(new)
        assert kept.order_digest == kept.id.removeprefix("p")
        return kept.id

    with ThreadPoolExecutor(8) as pool:
        (winner,) = set(pool.map(add, range(8)))
    assert [item.id for item in stores.predictions.page(None, None, 10, None).items] == [winner]
    assert stores.predictions.add(prediction("q")).id == "q"
    assert stores.predictions.add(prediction("r")).id == "r", "keys are no must"


def test_predictions_kept_together_fail_alone(stores: Stores) -> None:
    stores.predictions.add(prediction("first", key="k", order_digest="1"))
    large = (tensor.encode("x", np.zeros(3 * 1024 * 1024)),)
    new = [
        prediction("a"),
        prediction("b", key="k", order_digest="2"),
        prediction("c", key="l", order_digest="3"),
        prediction("d", key="l", order_digest="4"),
    ]
    kept = stores.predictions.add_all(new)
    names = [item.id for item in kept if isinstance(item, Prediction)]
    assert names[:2] == ["a", "first"]
    assert names[2] == names[3], "of two with one key there is one"
    good, bad = stores.predictions.add_all([prediction("f"), prediction("e", inputs=large)])
    assert isinstance(good, Prediction)
    assert good.id == "f"
    assert isinstance(bad, TooLargeError)
    listed = [item.id for item in stores.predictions.page(None, None, 10, None).items]
    assert listed == ["first", "f", names[2], "a"]


def test_keys_are_found_in_groups(stores: Stores) -> None:
    new = [prediction("a", key="k"), prediction("b", key="l")]
    assert [
        group_of(item.id) for item in stores.predictions.add_all(new) if isinstance(item, Prediction)
    ] == [
        "a",
        "a",
    ]
    assert stores.predictions.add(prediction("c", key="l")).id == "a-01"
    repeats = stores.predictions.add_all([prediction(name, key="n") for name in "def"])
    assert [item.id for item in repeats if isinstance(item, Prediction)] == ["d", "d", "d"]


def test_lists_are_filtered_and_stay_stable_while_others_come(stores: Stores) -> None:
    stores.keep("p0", "x", "x", "x")
    stores.keep("p1", "x")
    stores.keep("p6", model="other")
    stores.predictions.end("p0-01", PredictionStatus.CANCELED)
    first = stores.predictions.page("m", PredictionStatus.STARTING, 2, None)
    stores.keep("p7")
    second = stores.predictions.page("m", PredictionStatus.STARTING, 2, first.following)
    third = stores.predictions.page("m", PredictionStatus.STARTING, 2, second.following)
    found = [item.id for page in (first, second, third) for item in page.items]
    assert found == ["p1-01", "p1-00", "p0-03", "p0-02", "p0-00"]
    assert third.following is None
    canceled = stores.predictions.page(None, PredictionStatus.CANCELED, 2, None)
    assert [item.id for item in canceled.items] == ["p0-01"]


def test_lists_reach_back_as_far_as_predictions_are_kept(stores: Stores) -> None:
    names = []
    for hours in (23, 22, 2, 1, 0):
        created = now() - timedelta(hours=hours)
        name = f"{int(created.timestamp() * 1000):012x}{'0' * 16}"
        names.append(stores.keep(name, created_at=created)[0].id)
    found: list[str] = []
    cursor = None
    while True:
        page = stores.predictions.page(None, None, 2, cursor)
        found += [item.id for item in page.items]
        cursor = page.following
        if cursor is None:
            break
    assert found == names[::-1]


def test_what_is_noted_of_an_open_one_changes_and_the_rest_stays(stores: Stores) -> None:
    def noted(item: Prediction) -> Prediction:
        return msgspec.structs.replace(item, error="note")

    stores.keep("a", "b")
    assert stores.predictions.amend("a-01", noted)
    assert not stores.predictions.amend("nobody", noted)
    assert [stores.predictions.get(name).error for name in ("a-00", "a-01")] == [None, "note"]
    assert stores.claim("a")[0].group.open[1].error == "note"
    stores.predictions.end("a-01", PredictionStatus.CANCELED)
    assert not stores.predictions.amend("a-01", noted)


def test_all_that_wait_for_a_backend_are_cancelled_together(stores: Stores) -> None:
    stores.keep("a", "b", "c")
    stores.keep("d", backend="other")
    (begun,) = stores.keep("e")
    called = stores.keep("f", webhook=Webhook("http://h/", "h"))
    stores.claim("e")
    assert stores.predictions.waiting_since("b") is not None
    assert stores.predictions.cancel_waiting("b") == 4
    states = {item.id: item.status for item in stores.predictions.page(None, None, 9, None).items}
    assert states.pop("d") == "starting"
    assert states.pop(begun.id) == "processing"
    assert set(states.values()) == {"canceled"}
    assert stores.predictions.get("a-02").completed_at is not None
    assert [due.prediction for due in WebhookStore(stores.database).due((), 9)] == [called[0].id]
    assert stores.claim("a", "f") == []
    assert stores.predictions.waiting_since("b") is None


def test_what_was_given_up_can_be_opened_again(stores: Stores) -> None:
    stores.keep("a", "b", "c")
    (claim,) = stores.claim("a")
    first, second, third = claim.group.open
    ended = {"status": PredictionStatus.FAILED, "completed_at": now(), "error": "why"}
    done = [
        msgspec.structs.replace(first, dead=True, **ended),
        msgspec.structs.replace(second, **ended),
        succeeded(third),
    ]
    stores.work.record([(claim.group, done)])
    assert [item.id for item in stores.work.given_up(["a"])] == ["a-00"]
    assert stores.work.revive(["a", "nobody"]) == (1, True)
    assert stores.work.revive(["a"]) == (0, True), "it is open already"
    states = [stores.predictions.get(name).status for name in ("a-00", "a-01", "a-02")]
    assert states == ["starting", "failed", "succeeded"]
    (again,) = stores.claim("a")
    (item,) = again.group.open
    assert (item.inputs, item.error, item.attempts) == (first.inputs, None, 1)
    stores.work.record([(again.group, [succeeded(item)])])
    assert stores.predictions.get("a-00").status == "succeeded"
    assert stores.work.revive(["a"]) == (0, False)


def test_predictions_of_older_hubs_are_taken_up(stores: Stores) -> None:
    stores.collection.create_index([("status", pymongo.ASCENDING), ("published_at", pymongo.ASCENDING)])
    old: dict[str, Any] = {
        "model": "m",
        "version": "1",
        "backend": "b",
        "deployment": "m-1-x",
        "inputs": [["x", "FP64", [1], b"12345678"]],
        "created_at": now(),
        "lease_until": None,
        "published_at": None,
        "attempts": 0,
        "result": [],
        "error": None,
        "expires_at": now() + DAY,
    }
    states: dict[str, dict[str, Any]] = {
        "begun": {"status": "processing", "attempts": 2, "lease_until": now() + DAY},
        "done": {"status": "succeeded", "result": [["y", "FP64", [1], b"12345678"]]},
        "failed": {"status": "failed", "error": "why"},
        "waiting": {"status": "starting"},
    }
    for name, more in states.items():
        stores.collection.insert_one({**old, **more, "_id": name, "id": name})
    assert stores.predictions.get("done").result[0].data == b"12345678"
    stores.predictions.create_indexes()
    assert stores.predictions.get("failed").error == "why"
    assert stores.predictions.get("done").result[0].data == b"12345678"
    listed = stores.predictions.page("m", PredictionStatus.SUCCEEDED, 9, None).items
    assert [item.id for item in listed] == ["done"]
    (claim,) = stores.claim("waiting")
    assert claim.group.open[0].inputs[0].data == b"12345678"
    assert "status_1_published_at_1" not in stores.collection.index_information()
    assert stores.predictions.end("begun", PredictionStatus.CANCELED)


def test_predictions_are_kept_for_as_long_as_is_set(stores: Stores) -> None:
    (kept,) = stores.keep("p")
    document = stores.collection.find_one({})
    assert document["expires_at"] == kept.created_at + DAY
    index = next(one for one in stores.collection.index_information().values() if "expireAfterSeconds" in one)
    assert (index["key"], index["expireAfterSeconds"]) == ([("expires_at", 1)], 0)
