"""The side of the job pools: groups of predictions are claimed, worked on under a lease, and recorded.

A claim has a name, and what it records counts only while it is the last one. So a group that two workers have
in hand, because one of them was thought to be dead, gets the results of one.
"""

import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
from pymongo import ASCENDING, UpdateMany, UpdateOne
from pymongo.database import Database

from mlhub.common.deadletter import GivenUp
from mlhub.common.prediction import ENDED, Prediction, PredictionStatus
from mlhub.storage.database import Document, now, translated
from mlhub.storage.groups import (
    HELD,
    LARGE,
    LOST_AFTER,
    WEBHOOK_DUE,
    Group,
    changes_of,
    group_in,
    name_at,
    time_of,
)

_AT_ONCE: Final = 500
"""Groups that are looked at in one go."""
_STRETCH: Final = 0.05
_GROWTH: Final = 2.0
"""Seconds of a lane that are looked at first, and how much longer each further stretch is."""
_SLIM: Final = {"items.inputs": 0, "items.result": 0}
"""Leaves out what may be large."""
_PIECE: Final = 64
"""Groups of a stretch that are fetched in one go."""


class Claim(msgspec.Struct, frozen=True):
    """A group that a worker has in hand."""

    group: Group
    orphaned: bool
    """Whether the one that had it before did not give it back: it died, or is very slow."""


class HeldBack(NamedTuple):
    """A group that waits for its turn."""

    id: str
    lane: str
    backend: str


class WorkStore:
    """What job pools do with the predictions in the collection `predictions`."""

    def __init__(self, database: Database[Document], keep: timedelta) -> None:
        self._groups = database["predictions"]
        self._results = database["prediction_results"]
        self._keep = keep

    @translated()
    def claim(
        self, names: Sequence[str], holder: str, lease: timedelta, *, orphaned: bool = False
    ) -> list[Claim]:
        """Take those of some groups to work on that are open, and that nobody else has in hand.

        Args:
            names: of the groups.
            holder: a name that no other claim has.
            lease: how long they are the holder's unless it is prolonged.
            orphaned: whether the broker says that the worker which had them before is gone.
        """
        moment = now()
        documents = [
            document
            for document in self._groups.find(_these(names))
            if "queue" in document and (orphaned or document["lease_until"] <= moment)
        ]
        alike: dict[tuple[int, tuple[str, ...]], list[str]] = {}
        for document in documents:
            begun = {*document["statuses"], PredictionStatus.PROCESSING} - {PredictionStatus.STARTING}
            document["statuses"] = sorted(begun)
            alike.setdefault((document["revision"], tuple(document["statuses"])), []).append(document["_id"])
        taken: Document = {"holder": holder, "lease_until": moment + lease, "started_at": moment}
        changes = [
            UpdateMany(
                {**_these(alike_names), "revision": revision},
                {"$set": {**taken, "statuses": list(statuses)}, "$inc": {"attempts": 1, "revision": 1}},
            )
            for (revision, statuses), alike_names in alike.items()
        ]
        if not changes:
            return []
        if self._groups.bulk_write(changes, ordered=False).matched_count != len(documents):
            # Somebody was faster with some of them.
            found = self._groups.find({**_these([item["_id"] for item in documents])}, {"holder": 1})
            mine = {item["_id"] for item in found if item["holder"] == holder}
            documents = [document for document in documents if document["_id"] in mine]
        return [
            Claim(
                group_in(
                    {
                        **document,
                        **taken,
                        "revision": document["revision"] + 1,
                        "attempts": document["attempts"] + 1,
                    }
                ),
                orphaned=document["holder"] != "",
            )
            for document in documents
        ]

    @translated()
    def renew(self, names: Sequence[str], holder: str, lease: timedelta) -> bool:
        """Prolong a claim on groups that are still open; tell whether it still is in force on one of them."""
        held = {**_these(names), "holder": holder}
        change = {"$set": {"lease_until": now() + lease}}
        return self._groups.update_many(held, change).matched_count > 0

    @translated()
    def record(self, done: Sequence[tuple[Group, Sequence[Prediction]]]) -> list[Group | None]:
        """Note what became of predictions of claimed groups, by as few writes as possible.

        One that has ended meanwhile, as cancelled ones have, stays as it is.

        Args:
            done: groups as they were claimed or recorded last, each with some of its predictions, changed.

        Returns:
            Each group as it is now, or nothing for one that is in other hands.
        """
        kept = [(group, self._set_apart(changed)) for group, changed in done]
        later = [group.replaced(changed) for group, changed in kept]
        writes = [
            UpdateOne(
                {"_id": group.id, "revision": group.revision, "holder": group.holder}, changes_of(group)
            )
            for group in later
        ]
        if self._groups.bulk_write(writes, ordered=False).matched_count == len(writes):
            return [msgspec.structs.replace(group, revision=group.revision + 1) for group in later]
        return [self._merge(group, changed) for group, changed in kept]

    def _merge(self, claimed: Group, changed: Sequence[Prediction]) -> Group | None:
        """Record into a group that is not what it was when it was read."""
        while True:
            document = self._groups.find_one({"_id": claimed.id})
            if document is None or document["holder"] != claimed.holder:
                return None
            group = group_in(document)
            is_open = {item.id for item in group.open}
            missing = [item for item in changed if item.id in is_open]
            if not missing:
                return group
            later = group.replaced(missing)
            held = {"_id": group.id, "revision": group.revision, "holder": group.holder}
            if self._groups.update_one(held, changes_of(later)).matched_count == 1:
                return msgspec.structs.replace(later, revision=group.revision + 1)

    def _set_apart(self, changed: Sequence[Prediction]) -> list[Prediction]:
        """Put large outputs into documents of their own, and leave out inputs that are of no more use."""
        return [self._slimmed(item) if item.status in ENDED else item for item in changed]

    def _slimmed(self, item: Prediction) -> Prediction:
        if item.status is PredictionStatus.SUCCEEDED:
            item = msgspec.structs.replace(item, inputs=())
        if sum(len(output.data) for output in item.result) <= LARGE:
            return item
        document = {
            "_id": item.id,
            "result": msgspec.to_builtins(item.result, builtin_types=(bytes,)),
            "expires_at": item.created_at + self._keep,
        }
        self._results.replace_one({"_id": item.id}, document, upsert=True)
        return msgspec.structs.replace(item, result=(), apart=True)

    @translated()
    def release(self, names: Sequence[str], holder: str, pause: timedelta) -> None:
        """Give claimed groups back, to be taken up again after `pause`."""
        moment = now()
        values = {"holder": "", "lease_until": moment, "due_at": moment + pause}
        self._groups.update_many({**_these(names), "holder": holder}, {"$set": values})

    @translated()
    def fail(self, names: Sequence[str], reason: str) -> None:
        """End what is open of groups that nobody has in hand."""
        for name in names:
            # One by one: with their inputs they may be large.
            document = self._groups.find_one({"_id": name})
            if document is None or "queue" not in document or document["lease_until"] > now():
                continue
            group = group_in(document)
            changed = [
                msgspec.structs.replace(
                    item, status=PredictionStatus.FAILED, completed_at=now(), error=reason, dead=True
                )
                for item in group.open
            ]
            held = {"_id": group.id, "revision": group.revision}
            self._groups.update_one(held, changes_of(group.replaced(changed)))

    @translated()
    def given_up(self, names: Sequence[str]) -> list[GivenUp]:
        """Return the predictions of some groups that failed and may be tried once more."""
        if not names:
            return []
        found = self._groups.find(_these(names), {"items.inputs": 0})
        items = [item for document in found for item in group_in(document).predictions]
        return [GivenUp(item.id, item.error) for item in items if item.dead]

    @translated()
    def revive(self, names: Sequence[str]) -> tuple[int, bool]:
        """Open predictions of some groups again that failed and may be tried once more.

        Returns:
            How many they were, and whether there is something to be done in these groups.
        """
        count = 0
        is_open = False
        for name in names:
            group = self._revived(name)
            if group is not None:
                count += sum(item.dead for item in group.predictions)
                is_open = is_open or bool(group.open) or any(item.dead for item in group.predictions)
        return count, is_open

    def _revived(self, name: str) -> Group | None:
        """Open what failed in a group; return it as it was before."""
        while (document := self._groups.find_one({"_id": name})) is not None:
            group = group_in(document)
            dead = [item for item in group.predictions if item.dead]
            if not dead:
                return group
            change = changes_of(group.replaced([_fresh(item) for item in dead]))
            moment = now()
            change["$set"] |= {
                "holder": "",
                "attempts": 0,
                "lease_until": moment,
                "published_at": moment,
                "due_at": moment + LOST_AFTER,
            }
            change["$unset"] = {WEBHOOK_DUE: ""}
            held = {"_id": name, "revision": group.revision}
            if self._groups.update_one(held, change).matched_count == 1:
                return group
        return None

    @translated()
    def due(self) -> list[Group]:
        """Return open groups that nobody has in hand though it is time, without inputs and outputs.

        Their message may be lost, or their worker; or they were given back to be tried again.
        """
        moment = now()
        found = self._groups.find({"due_at": {"$lte": moment}}, _SLIM).limit(_AT_ONCE)
        return [group_in(document) for document in found if document["lease_until"] <= moment]

    @translated()
    def waiting(self, lane: str, after: str, most: int, groups_most: int = _PIECE) -> list[Group]:
        """Return the first groups that wait for their turn in a lane, without inputs and outputs.

        Args:
            lane: its name.
            after: name below which none waits.
            most: predictions in them; one group is returned even if it has more.
            groups_most: how many groups at most.
        """
        # The embedded database fetches all that a query finds, so it is asked for stretches of time.
        lower, span = after, _STRETCH
        groups: list[Group] = []
        size = 0
        newest = name_at(time.time() + 1)
        while lower < newest:
            upper = time_of(lower, span)
            wanted = {"queue": lane, "_id": {"$gte": lower, "$lt": upper}}
            found = list(self._groups.find(wanted, _SLIM).sort("_id", ASCENDING).limit(_PIECE))
            for document in found:
                if document["published_at"] is not None:
                    continue
                size += document["size"]
                if groups and (size > most or len(groups) == groups_most):
                    return groups
                groups.append(group_in(document))
            if len(found) < _PIECE:
                lower, span = upper, span * _GROWTH
            else:
                # The stretch has more of them.
                lower = f"{found[-1]['_id']}!"
        return groups

    @translated()
    def held_back(self, lower: str, upper: str) -> list[HeldBack]:
        """Return all groups with names from one to below another that wait for their turn, in any lane."""
        shown = {"queue": 1, "published_at": 1, "lane": 1, "backend": 1}
        found = self._groups.find({HELD: {"$gte": lower, "$lt": upper}}, shown)
        return [
            HeldBack(document["_id"], document["lane"], document["backend"])
            for document in found
            if "queue" in document and document["published_at"] is None
        ]

    @translated()
    def mark_published(self, names: Iterable[str], moment: datetime) -> None:
        """Note that the message of open groups goes out."""
        open_ones = {**_these(list(names)), "queue": {"$exists": True}}
        change = {
            "$set": {"published_at": moment, "due_at": moment + LOST_AFTER},
            "$unset": {HELD: ""},
        }
        self._groups.update_many(open_ones, change)


def _fresh(item: Prediction) -> Prediction:
    """Return a prediction as it was before a worker began."""
    return msgspec.structs.replace(
        item,
        status=PredictionStatus.STARTING,
        error=None,
        dead=False,
        tries=0,
        started_at=None,
        completed_at=None,
    )


def _these(names: Sequence[str]) -> dict[str, Any]:
    return {"_id": names[0] if len(names) == 1 else {"$in": list(names)}}
