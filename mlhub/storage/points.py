"""Points of the last hour, kept so that they outlive the processes of the API."""

import time
from datetime import UTC, datetime
from typing import Final

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from mlhub.common.operations import Point
from mlhub.storage.database import Document, to_document, to_record, translated

KEPT: Final = 3600.0
"""Seconds for which a point is of use."""


class PointStore:
    """Points, in the collection `points`; a document's key is the stretch of time that its point ends in."""

    def __init__(self, database: Database[Document], step: float) -> None:
        """Remember where they are kept.

        Args:
            database: keeps them.
            step: seconds between two points; all processes see the same, so one of them keeps each.
        """
        self._points = database["points"]
        self._step = step

    @translated()
    def create_indexes(self) -> None:
        """Make the index by which old points go."""
        self._points.create_index("taken_at", expireAfterSeconds=int(KEPT))

    @translated()
    def keep(self, point: Point) -> None:
        """Keep a point, unless another process kept one of that time."""
        taken_at = datetime.fromtimestamp(point.time, UTC)
        try:
            self._points.insert_one(
                {"_id": self._key(point.time), "taken_at": taken_at, **to_document(point)}
            )
        except DuplicateKeyError:
            return

    @translated()
    def latest(self) -> list[Point]:
        """Return the points of the last hour in the order of time."""
        found = self._points.find({"_id": {"$gt": self._key(time.time() - KEPT)}}).sort("_id")
        return [to_record(document, Point) for document in found]

    def _key(self, moment: float) -> int:
        return int(moment // self._step)
