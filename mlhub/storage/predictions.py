"""Asynchronous predictions: the documents are the truth, messages only point at them."""

from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING
from pymongo.database import Database

from mlhub.common.errors import NotFoundError
from mlhub.common.prediction import ENDED, TRANSITIONS, Prediction, PredictionStatus
from mlhub.storage.database import Document, compare_and_set, now, to_document, to_record, translated
from mlhub.storage.paging import Page, SortKey, after, cursor_of

_NEWEST = SortKey("_id", DESCENDING)
_OPEN = [status for status in PredictionStatus if status not in ENDED]


class PredictionStore:
    """Predictions, in the collection `predictions`."""

    def __init__(self, database: Database[Document], keep: timedelta) -> None:
        self._predictions = database["predictions"]
        self._keep = keep

    @translated()
    def create_indexes(self) -> None:
        """Make the indexes, also the one that lets old predictions disappear; those that exist stay."""
        self._predictions.create_index("expires_at", expireAfterSeconds=0)
        self._predictions.create_index([("model", ASCENDING), ("_id", DESCENDING)])
        self._predictions.create_index([("status", ASCENDING), ("published_at", ASCENDING)])

    @translated()
    def add(self, prediction: Prediction) -> None:
        """Keep a new prediction; when this returns, it is accepted."""
        document = to_document(prediction)
        document["_id"] = prediction.id
        document["expires_at"] = prediction.created_at + self._keep
        self._predictions.insert_one(document)

    @translated()
    def get(self, identity: str) -> Prediction:
        """Return a prediction.

        Raises:
            NotFoundError: there is none, or it was too old to be kept.
        """
        document = self._predictions.find_one({"_id": identity})
        if document is None:
            raise NotFoundError(f"There is no prediction {identity!r}.", code="prediction_not_found")
        return to_record(document, Prediction)

    @translated()
    def page(
        self, model: str | None, status: PredictionStatus | None, limit: int, cursor: str | None
    ) -> Page[Prediction]:
        """Return up to `limit` predictions, newest first."""
        clauses: list[Document] = []
        if model is not None:
            clauses.append({"model": model})
        if status is not None:
            clauses.append({"status": status})
        if cursor is not None:
            clauses.append(after(cursor, _NEWEST))
        found = self._predictions.find({"$and": clauses} if clauses else {}, {"inputs": 0})
        documents = list(found.sort(_NEWEST.order()).limit(limit + 1))
        following = cursor_of(documents[limit - 1], _NEWEST) if len(documents) > limit else None
        return Page(
            [to_record({"inputs": [], **document}, Prediction) for document in documents[:limit]], following
        )

    @translated()
    def claim(self, identity: str, lease: timedelta) -> Prediction | None:
        """Take a prediction to work on for `lease`, unless it ended or another worker holds it."""
        time = now()
        free: Document = {
            "status": {"$in": _OPEN},
            "$or": [{"lease_until": None}, {"lease_until": {"$lte": time}}],
        }
        taken: Document = {
            "$set": {"status": PredictionStatus.PROCESSING, "lease_until": time + lease, "started_at": time},
            "$inc": {"attempts": 1},
        }
        if not compare_and_set(self._predictions, identity, free, taken):
            return None
        return self.get(identity)

    @translated()
    def release(self, identity: str) -> None:
        """Give a claimed prediction back, so that the sweeper has another worker try."""
        values = {"lease_until": None, "published_at": now()}
        compare_and_set(self._predictions, identity, {"status": {"$in": _OPEN}}, {"$set": values})

    @translated()
    def end(self, identity: str, status: PredictionStatus, **fields: Any) -> bool:
        """Record how a prediction ended, if that is legal from where it stands; tell whether it was."""
        sources = [source for source, targets in TRANSITIONS.items() if status in targets]
        values: Document = {"status": status, "completed_at": now(), "lease_until": None, **fields}
        return compare_and_set(self._predictions, identity, {"status": {"$in": sources}}, {"$set": values})

    @translated()
    def unworked(self, since: datetime, limit: int) -> list[Prediction]:
        """Return open predictions that no worker has a lease on and whose message is older than `since`."""
        wanted: Document = {
            "status": {"$in": _OPEN},
            "published_at": {"$lte": since},
            "$or": [{"lease_until": None}, {"lease_until": {"$lte": now()}}],
        }
        found = self._predictions.find(wanted, {"inputs": 0}).limit(limit)
        return [to_record({"inputs": [], **document}, Prediction) for document in found]

    @translated()
    def mark_published(self, prediction: Prediction) -> bool:
        """Note that the prediction's message goes out again; false when another sweeper was faster."""
        return compare_and_set(
            self._predictions,
            prediction.id,
            {"published_at": prediction.published_at},
            {"$set": {"published_at": now()}},
        )
