"""Asynchronous predictions: the documents are the truth, messages only point at them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bson.errors import BSONError
from pymongo import ASCENDING, DESCENDING
from pymongo.database import Database
from pymongo.errors import BulkWriteError, DocumentTooLarge, DuplicateKeyError

from mlhub.common.errors import MLHubError, NotFoundError
from mlhub.common.prediction import ENDED, TRANSITIONS, Prediction, PredictionStatus
from mlhub.storage.database import Document, compare_and_set, now, to_document, to_record, translated
from mlhub.storage.paging import Page, SortKey, after, cursor_of

WEBHOOK_DUE: Final = "webhook_due"
"""The field that ended predictions have whose webhook is to be called: from when on."""

_NEWEST = SortKey("_id", DESCENDING)
NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""A time that does not come: a prediction with this lease is in no worker's way, and none takes it."""
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
        # Sparse: those without a key do not have the field.
        self._predictions.create_index("key", unique=True, sparse=True)

    @translated()
    def add(self, prediction: Prediction) -> Prediction:
        """Keep a new prediction, and return it, or else the earlier one that has its key.

        When this returns, the prediction is accepted.
        """
        while True:
            try:
                self._predictions.insert_one(self._document(prediction))
            except DuplicateKeyError:
                if self._predictions.find_one({"_id": prediction.id}, {"_id": 1}) is not None:
                    # An attempt whose outcome was not known had kept it.
                    return prediction
                earlier = self._predictions.find_one({"key": prediction.key})
                if earlier is not None:
                    return to_record(earlier, Prediction)
                # It was too old to be kept, and went in between.
            else:
                return prediction

    @translated()
    def add_all(self, new: Sequence[Prediction]) -> list[Prediction | MLHubError]:
        """Keep new predictions by one write, as `add` does; one that cannot be kept fails alone.

        Returns:
            For each what `add` would return or raise.

        Raises:
            UnavailableError: the database does not answer; none is accepted.
        """
        if len(new) > 1:
            try:
                self._predictions.insert_many([self._document(item) for item in new], ordered=False)
            except BulkWriteError as error:
                refused = {item["index"] for item in error.details["writeErrors"]}
            except (BSONError, OverflowError, DocumentTooLarge):
                # The driver found one that it cannot send; which were sent before it did is not known.
                refused = set(range(len(new)))
            else:
                return list(new)
        else:
            refused = set(range(len(new)))
        return [self._add_alone(item) if place in refused else item for place, item in enumerate(new)]

    def _add_alone(self, prediction: Prediction) -> Prediction | MLHubError:
        try:
            return self.add(prediction)
        except MLHubError as error:
            return error

    def _document(self, prediction: Prediction) -> Document:
        document = to_document(prediction)
        if prediction.key is None:
            del document["key"], document["order_digest"]
        if prediction.webhook is None:
            del document["webhook"]
        document["_id"] = prediction.id
        document["expires_at"] = prediction.created_at + self._keep
        if prediction.lease_until is None:
            # Always a date, so that one flat comparison finds what is free.
            document["lease_until"] = prediction.created_at
        return document

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
        wanted: Document = {} if cursor is None else after(cursor, _NEWEST)
        if model is not None:
            wanted["model"] = model
        if status is not None:
            wanted["status"] = status
        found = self._predictions.find(wanted, {"inputs": 0})
        documents = list(found.sort(_NEWEST.order()).limit(limit + 1))
        following = cursor_of(documents[limit - 1], _NEWEST) if len(documents) > limit else None
        return Page(
            [to_record({"inputs": [], **document}, Prediction) for document in documents[:limit]], following
        )

    @translated()
    def claim(self, identity: str, lease: timedelta) -> Prediction | None:
        """Take a prediction to work on for `lease`, unless it ended or another worker holds it."""
        time = now()
        free: Document = {"status": {"$in": _OPEN}, "lease_until": {"$lte": time}}
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
        time = now()
        values = {"lease_until": time, "published_at": time}
        compare_and_set(self._predictions, identity, {"status": {"$in": _OPEN}}, {"$set": values})

    @translated()
    def end(self, identity: str, status: PredictionStatus, **fields: Any) -> bool:
        """Record how a prediction ended, if that is legal from where it stands; tell whether it was.

        From then on its webhook is due.
        """
        sources = [source for source, targets in TRANSITIONS.items() if status in targets]
        legal: Document = {"status": {"$in": sources}}
        values: Document = {"status": status, "completed_at": now(), **fields}
        # Most have no webhook; which of them has is for the document to say, whoever ends it.
        return compare_and_set(
            self._predictions, identity, legal | {"webhook": None}, {"$set": values}
        ) or compare_and_set(self._predictions, identity, legal, {"$set": values | {WEBHOOK_DUE: now()}})

    @translated()
    def cancel_waiting(self, backend: str) -> int:
        """Cancel all predictions that wait for a worker of `backend`; return how many."""
        wanted: Document = {"status": PredictionStatus.STARTING, "backend": backend}
        ended: Document = {"status": PredictionStatus.CANCELED, "completed_at": now()}
        silent = self._predictions.update_many({**wanted, "webhook": None}, {"$set": ended})
        # Those that are left have a webhook, which is due now.
        told = self._predictions.update_many(wanted, {"$set": ended | {WEBHOOK_DUE: now()}})
        return silent.modified_count + told.modified_count

    @translated()
    def unworked(self, since: datetime, limit: int) -> list[Prediction]:
        """Return open predictions that no worker has a lease on and whose message is older than `since`."""
        found: list[Document] = []
        for status in _OPEN:
            # One status at a time: the embedded database uses the index for an equality only.
            wanted = {"status": status, "published_at": {"$lte": since}, "lease_until": {"$lte": now()}}
            found += self._predictions.find(wanted, {"inputs": 0}).limit(limit - len(found))
            if len(found) >= limit:
                break
        return [to_record({"inputs": [], **document}, Prediction) for document in found]

    @translated()
    def waiting_since(self, backend: str) -> datetime | None:
        """Return when the one that has waited longest for a backend's job pool came, if one waits."""
        wanted = {"status": PredictionStatus.STARTING, "backend": backend}
        oldest = self._predictions.find_one(wanted, {"created_at": 1}, sort=[("published_at", ASCENDING)])
        return None if oldest is None else oldest["created_at"]

    @translated()
    def mark_published(self, prediction: Prediction) -> bool:
        """Note that the prediction's message goes out again; false when another sweeper was faster."""
        return compare_and_set(
            self._predictions,
            prediction.id,
            {"published_at": prediction.published_at},
            {"$set": {"published_at": now()}},
        )
