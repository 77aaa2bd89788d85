"""Lanes that are long: work for one model from one side, of which only the first part is on the queue.

The rest has its turn piece by piece, in the order in which it came, so that it holds up no other lane.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from pymongo.database import Database

from mlhub.storage.database import Document, compare_and_set, now, to_record, translated
from mlhub.storage.groups import time_of

_BEFORE: Final = 10.0
"""Seconds before the first held back in which others may have been given their names and are kept later."""

_LOOKED: Final = "dispatch"


class Lane(msgspec.Struct, frozen=True):
    """A lane in which work waits for its turn."""

    name: str
    backend: str
    cursor: str
    """Name below which no group waits for its turn."""
    held_at: datetime
    """When one was held back last, to about a second."""


class LaneStore:
    """Long lanes, in the collection `lanes`; a document's key is the lane."""

    def __init__(self, database: Database[Document]) -> None:
        self._lanes = database["lanes"]
        self._looks = database["lane_looks"]
        self._groups = database["predictions"]

    @translated()
    def hold(self, name: str, backend: str, group: str) -> None:
        """Note that a group was held back in a lane."""
        first = {"name": name, "backend": backend, "cursor": time_of(group, -_BEFORE)}
        change = {"$set": {"held_at": now()}, "$setOnInsert": first}
        self._lanes.update_one({"_id": name}, change, upsert=True)

    @translated()
    def is_held(self, name: str) -> bool:
        """Tell whether work waits for its turn in a lane."""
        return self._lanes.find_one({"_id": name}, {"_id": 1}) is not None

    @translated()
    def held(self) -> list[Lane]:
        """Return all lanes in which work waits for its turn."""
        return [to_record(document, Lane) for document in self._lanes.find()]

    @translated()
    def advance(self, lane: Lane, cursor: str) -> bool:
        """Note how far the work of a lane has had its turn; tell whether it stood where it was seen."""
        return compare_and_set(self._lanes, lane.name, {"cursor": lane.cursor}, {"$set": {"cursor": cursor}})

    @translated()
    def recall(self, name: str, backend: str, group: str) -> None:
        """Have a lane go back to a group that waits for its turn, if it is past it, or was released."""
        change = {"$set": {"cursor": group, "held_at": now()}}
        if not compare_and_set(self._lanes, name, {"cursor": {"$gt": group}}, change):
            self.hold(name, backend, group)

    @translated()
    def looked_until(self) -> str | None:
        """Return the name below which all groups were looked at, for one that no lane leads to."""
        document = self._looks.find_one({"_id": _LOOKED})
        return None if document is None else str(document["until"])

    @translated()
    def note_looked(self, until: str) -> None:
        """Note that name."""
        self._looks.update_one({"_id": _LOOKED}, {"$set": {"until": until}}, upsert=True)

    @translated()
    def release(self, lane: Lane) -> None:
        """Note that none is held back in a lane, unless one was since."""
        self._lanes.delete_one({"_id": lane.name, "held_at": lane.held_at})

    @translated()
    def unfinished(self, groups: Sequence[str]) -> int:
        """Count those of some groups that are not finished."""
        # The embedded database finds names by index, and nothing else beside them.
        found = self._groups.find({"_id": {"$in": list(groups)}}, {"queue": 1})
        return sum("queue" in document for document in found)
