"""Removing what is over: predictions past their time, and points of the monitor's hour.

MongoDB does this by itself, by its indexes. The embedded database would read all that there is once a minute,
and nobody else gets anything meanwhile; nor does it let go of what it saw until the next time, which can fill
its memory for good. So it is told not to, and this asks the same indexes. On MongoDB it finds nothing.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from pymongo.database import Database

from mlhub.storage import points
from mlhub.storage.database import Document, now, translated

_AT_ONCE: Final = 200
"""Documents removed by one call: others have their turn in between."""


class _Kept(NamedTuple):
    """What is kept for a time."""

    collection: str
    field: str
    """Holds the moment that it is counted from."""
    time: timedelta


_ALL: Final[Sequence[_Kept]] = (
    _Kept("predictions", "expires_at", timedelta()),
    _Kept("prediction_results", "expires_at", timedelta()),
    _Kept("points", "taken_at", timedelta(seconds=points.KEPT)),
)


class Expiry:
    """Removes what is over; may be done by several processes."""

    def __init__(self, database: Database[Document]) -> None:
        self._database = database

    @translated()
    def remove(self) -> int:
        """Remove all of it; return how many documents that were."""
        return sum(self._remove(kept) for kept in _ALL)

    def _remove(self, kept: _Kept) -> int:
        collection = self._database[kept.collection]
        count = 0
        while True:
            over = {kept.field: {"$lt": now() - kept.time}}
            names = [document["_id"] for document in collection.find(over, {"_id": 1}).limit(_AT_ONCE)]
            if not names:
                return count
            # Asked once more: one may have been kept for longer since.
            removed = collection.delete_many({"_id": {"$in": names}, **over}).deleted_count
            count += removed
            if not removed:
                return count
