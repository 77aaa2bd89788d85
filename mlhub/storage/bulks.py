"""Bulk predictions: how far the work of each is, and where its outputs are.

The prediction's own document says whether it has ended, and that is the truth. A document here holds what
there is to do; it is changed by compare-and-set on its `revision`. A part is inserted under the number of its
first row, so of two workers that did the same rows one has its part kept, and the other finds out.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import msgspec
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from mlhub.common.bulk import Bulk, Chunk, Part
from mlhub.common.errors import NotFoundError
from mlhub.common.prediction import Prediction, PredictionStatus
from mlhub.storage.database import Document, compare_and_set, now, to_document, to_record, translated
from mlhub.storage.predictions import PredictionStore

_AT_ONCE: Final = 500
"""Documents read at once."""


_CHANGING: Final = ("following", "chunks", "done", "seconds", "output", "closed", "revision")
"""Fields that work changes."""


class BulkStore:
    """The work of bulk predictions, in the collections `bulks` and `bulk_parts`."""

    def __init__(self, database: Database[Document]) -> None:
        self._bulks = database["bulks"]
        self._parts = database["bulk_parts"]
        # It keeps none here.
        self._predictions = PredictionStore(database, timedelta())

    @translated()
    def create_indexes(self) -> None:
        """Make the indexes; those that exist stay."""
        self._bulks.create_index("closed")
        self._bulks.create_index("expires_at")
        self._parts.create_index("bulk")

    @translated()
    def add(self, bulk: Bulk) -> None:
        """Keep the work of a prediction that is about to be kept itself."""
        self._bulks.insert_one(to_document(bulk) | {"_id": bulk.id})

    @translated()
    def find(self, identity: str) -> Bulk | None:
        """Return a bulk, or nothing."""
        document = self._bulks.find_one({"_id": identity})
        return None if document is None else to_record(document, Bulk)

    @translated()
    def get(self, identity: str) -> Bulk:
        """Return a bulk.

        Raises:
            NotFoundError: there is none.
        """
        bulk = self.find(identity)
        if bulk is None:
            raise NotFoundError(f"There is no prediction {identity!r}.", code="prediction_not_found")
        return bulk

    @translated()
    def begin(self, identity: str) -> bool:
        """Note that work on a prediction begins; false when it has ended, or is gone."""
        try:
            return self._predictions.begin(identity)
        except NotFoundError:
            return False

    @translated()
    def tell(self, identity: str, done: int) -> bool:
        """Show how many rows of a prediction are done; false when it has ended, or is gone."""

        def told(prediction: Prediction) -> Prediction | None:
            if prediction.bulk is None:
                return None
            # Of two that tell at once, the one that knows less may come last.
            progress = msgspec.structs.replace(prediction.bulk, done=max(done, prediction.bulk.done))
            return msgspec.structs.replace(prediction, bulk=progress)

        return self._predictions.amend(identity, told)

    def take(self, identity: str, turn: str, lease: timedelta) -> tuple[Bulk, Chunk] | None:
        """Begin a chunk; nothing when there is none for this turn."""
        while (bulk := self.find(identity)) is not None and not bulk.closed:
            time = now()
            taken = bulk.take(turn, time, time + lease)
            if taken is None:
                return None
            if self._set(bulk, taken[0]):
                return taken
        return None

    def renew(self, identity: str, turn: str, lease: timedelta) -> bool:
        """Prolong a turn's time; false when it has no chunk any more."""
        return self._change(identity, lambda bulk: bulk.renew(turn, now() + lease)) is not None

    def release(self, identity: str, turn: str, pause: timedelta) -> None:
        """Give a turn's chunk back, to be taken again after a pause."""
        self._change(identity, lambda bulk: bulk.release(turn, now() + pause))

    @translated()
    def finish(self, identity: str, part: Part) -> tuple[Bulk | None, Part]:
        """Keep a part.

        Returns:
            The bulk as it is then, nothing when it is gone; and the part that is kept for these rows, which
            is another one when another worker was faster.
        """
        document = to_document(part) | {"_id": _part_key(identity, part.first), "bulk": identity}
        try:
            self._parts.insert_one(document)
        except DuplicateKeyError:
            earlier = self._parts.find_one({"_id": document["_id"]})
            part = part if earlier is None else to_record(earlier, Part)
        bulk = self._change(identity, lambda bulk: bulk.finish(part, now())) or self.find(identity)
        return bulk, part

    @translated()
    def status(self, identity: str) -> PredictionStatus | None:
        """Return where the prediction stands; nothing when it is gone, or was never there."""
        try:
            return self._predictions.get(identity).status
        except NotFoundError:
            return None

    @translated()
    def parts(self, identity: str) -> list[Part]:
        """Return the parts that are there, in the order of their rows."""
        found = self._parts.find({"bulk": identity})
        return sorted((to_record(document, Part) for document in found), key=lambda part: part.first)

    @translated()
    def drop_part(self, identity: str, part: Part) -> None:
        """Forget a part."""
        self._parts.delete_one({"_id": _part_key(identity, part.first)})

    @translated()
    def close(self, identity: str) -> None:
        """Note that there is nothing left to do."""
        self._change(identity, Bulk.close)

    @translated()
    def discard(self, identity: str) -> None:
        """Forget a bulk whose parts are gone."""
        self._bulks.delete_one({"_id": identity})

    @translated()
    def unfinished(self) -> list[Bulk]:
        """Return those that are not closed."""
        found = self._bulks.find({"closed": False}).limit(_AT_ONCE)
        return [to_record(document, Bulk) for document in found]

    @translated()
    def sweep(self, bulk: Bulk) -> bool:
        """Note that turns of a bulk are sent again; false when another sweeper was faster."""
        return compare_and_set(
            self._bulks, bulk.id, {"swept_at": bulk.swept_at}, {"$set": {"swept_at": now()}}
        )

    @translated()
    def expired(self) -> list[Bulk]:
        """Return some whose time is over."""
        found = self._bulks.find({"expires_at": {"$lte": now()}}).limit(_AT_ONCE)
        return [to_record(document, Bulk) for document in found]

    @translated()
    def _change(self, identity: str, change: Callable[[Bulk], Bulk | None]) -> Bulk | None:
        """Change a bulk, however often others come in between; nothing when there is nothing to change."""
        while (bulk := self.find(identity)) is not None:
            changed = change(bulk)
            if changed is None:
                return None
            if self._set(bulk, changed):
                return changed
        return None

    @translated()
    def _set(self, bulk: Bulk, changed: Bulk) -> bool:
        document = to_document(changed)
        values = {name: document[name] for name in _CHANGING}
        return compare_and_set(self._bulks, bulk.id, {"revision": bulk.revision}, {"$set": values})


def _part_key(identity: str, first: int) -> str:
    return f"{identity}.{first:015d}"
