"""Asynchronous predictions: the documents are the truth, messages only point at them.

Those that come at the same time are one document, a group: see `mlhub.storage.groups`. To whoever asks, each
is a prediction of its own.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from bson.errors import BSONError
from pymongo import ASCENDING, DESCENDING, UpdateMany
from pymongo.database import Database
from pymongo.errors import BulkWriteError, DocumentTooLarge, DuplicateKeyError

from mlhub.common.errors import MLHubError, NotFoundError
from mlhub.common.prediction import ENDED, TRANSITIONS, Prediction, PredictionStatus, group_of
from mlhub.storage.database import Document, now, translated
from mlhub.storage.groups import (
    HELD,
    WEBHOOK_DUE,
    Group,
    changes_of,
    document_of,
    group_in,
    moment_of,
    name_at,
    time_of,
    whole,
)
from mlhub.storage.paging import Page, SortKey, after, cursor_of

NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""A time that does not come: a prediction with this lease is in no worker's way, and none takes it."""

_NEWEST: Final = SortKey("_id", DESCENDING)
_FIRST_STRETCH: Final = 2.0
_GROWTH: Final = 4.0
"""Seconds of the list that are looked at first, and how much longer each further stretch is."""
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OVERDUE: Final = 3600.0
"""Seconds that documents may be older than they are kept: the database looks every so often."""
_OLD_INDEX: Final = "status_1_published_at_1"
"""What the collection has of hubs that kept each prediction by itself."""
_AT_ONCE: Final = 200
"""Their documents brought to the new form in one go."""


class PredictionStore:
    """Predictions, in the collection `predictions`; a document's key is the group."""

    def __init__(self, database: Database[Document], keep: timedelta) -> None:
        self._groups = database["predictions"]
        self._results = database["prediction_results"]
        self._lanes = database["lanes"]
        self._keep = keep

    @translated()
    def create_indexes(self) -> None:
        """Make the indexes, also those that let old predictions disappear; bring older hubs' to this form."""
        self._groups.create_index("expires_at", expireAfterSeconds=0)
        self._groups.create_index([("model", ASCENDING), ("_id", DESCENDING)])
        self._groups.create_index([("statuses", ASCENDING), ("_id", DESCENDING)])
        # Sparse: only what is open and has its turn, waits for it, is open, or has a key, has the field.
        self._groups.create_index("due_at", sparse=True)
        self._groups.create_index(HELD, sparse=True)
        self._groups.create_index([("queue", ASCENDING), ("_id", ASCENDING)], sparse=True)
        self._groups.create_index("keys", unique=True, sparse=True)
        self._results.create_index("expires_at", expireAfterSeconds=0)
        if _OLD_INDEX in self._groups.index_information():
            self._take_over()

    def _take_over(self) -> None:
        """Bring the documents of hubs that kept each prediction by itself to the form of groups."""
        for status in PredictionStatus:
            while old := list(self._groups.find({"status": status}).limit(_AT_ONCE)):
                for document in old:
                    self._converted(document)
        self._groups.drop_index(_OLD_INDEX)

    def _converted(self, document: Document) -> None:
        """Replace a document of such a hub; a prediction that is open is told of to the workers again."""
        wanted = {"attempts": 0, "published_at": document.get("published_at") or document["created_at"]}
        group = group_in({**document, **wanted})
        known = {"_id": group.id, "status": document["status"]}
        due = {WEBHOOK_DUE: document[WEBHOOK_DUE]} if WEBHOOK_DUE in document else {}
        self._groups.replace_one(known, document_of(group, self._keep) | due)

    @translated()
    def add(self, prediction: Prediction) -> Prediction:
        """Keep a new prediction, and return it, or else the earlier one that has its key.

        When this returns, the prediction is accepted.
        """
        while True:
            try:
                self._groups.insert_one(document_of(Group.of([prediction]), self._keep))
            except DuplicateKeyError:
                if self._groups.find_one({"_id": prediction.id}, {"_id": 1}) is not None:
                    # An attempt whose outcome was not known had kept it.
                    return prediction
                earlier = self._of_key(prediction.key)
                if earlier is not None:
                    return earlier
                # It was too old to be kept, and went in between.
            else:
                return prediction

    def _of_key(self, key: str | None) -> Prediction | None:
        document = self._groups.find_one({"keys": key})
        if document is None:
            return None
        return next((item for item in group_in(document).predictions if item.key == key), None)

    @translated()
    def add_all(self, new: Sequence[Prediction]) -> list[Prediction | MLHubError]:
        """Keep new predictions by one write, as `add` does; one that cannot be kept fails alone.

        Returns:
            For each what `add` would return or raise; its name may be another than it came with, since those
            of one lane are given names in one group.

        Raises:
            UnavailableError: the database does not answer; none is accepted.
        """
        groups = _grouped(new)
        kept: dict[int, Prediction | MLHubError] = {}
        try:
            self._groups.insert_many(
                [document_of(Group.of([item for _, item in group]), self._keep) for group in groups],
                ordered=False,
            )
        except BulkWriteError as error:
            refused = {item["index"] for item in error.details["writeErrors"]}
        except (BSONError, OverflowError, DocumentTooLarge):
            # The driver found one that it cannot send; which were sent before it did is not known.
            refused = set(range(len(groups)))
        else:
            refused = set()
        for number, group in enumerate(groups):
            for place, item in group:
                kept[place] = self._add_alone(new[place]) if number in refused else item
        return [kept[place] for place in range(len(new))]

    def _add_alone(self, prediction: Prediction) -> Prediction | MLHubError:
        try:
            return self.add(prediction)
        except MLHubError as error:
            return error

    @translated()
    def get(self, identity: str) -> Prediction:
        """Return a prediction.

        Raises:
            NotFoundError: there is none, or it was too old to be kept.
        """
        _, prediction = self._find(identity)
        return whole(prediction, self._results)

    def _find(self, identity: str) -> tuple[Group, Prediction]:
        name = {"_id": group_of(identity)}
        document = self._groups.find_one(name)
        if document is not None and "items" not in document:
            self._converted(document)
            document = self._groups.find_one(name)
        if document is not None:
            group = group_in(document)
            for prediction in group.predictions:
                if prediction.id == identity:
                    return group, prediction
        raise NotFoundError(f"There is no prediction {identity!r}.", code="prediction_not_found")

    @translated()
    def page(
        self, model: str | None, status: PredictionStatus | None, limit: int, cursor: str | None
    ) -> Page[Prediction]:
        """Return up to `limit` predictions, newest first, those of large outputs without them."""
        before: str | None = None if cursor is None else after(cursor, _NEWEST)["_id"]["$lt"]
        filters: Document = {}
        if model is not None:
            filters["model"] = model
        if status is not None:
            filters["statuses"] = status
        found: list[Prediction] = []
        # The embedded database goes through all there is to find a range of keys, unless an index begins with
        # something else; and fetches all that a query finds before it sorts and cuts.
        kinds = [filters] if filters else [{"statuses": each} for each in PredictionStatus]
        for stretch in _stretches(before, self._keep):
            documents: dict[str, Document] = {}
            for kind in kinds:
                wanted = {"_id": stretch, **kind} if stretch else kind
                newest = self._groups.find(wanted, {"items.inputs": 0}).sort("_id", DESCENDING)
                documents |= {document["_id"]: document for document in newest.limit(limit + 2)}
            for _, document in sorted(documents.items(), reverse=True)[: limit + 2]:
                found += [
                    item
                    for item in reversed(group_in(document).predictions)
                    if (before is None or item.id < before) and (status is None or item.status is status)
                ]
            if len(found) > limit:
                break
        following = cursor_of({"_id": found[limit - 1].id}, _NEWEST) if len(found) > limit else None
        return Page(found[:limit], following)

    @translated()
    def end(self, identity: str, status: PredictionStatus, **fields: Any) -> bool:
        """Record how a prediction ended, if that is legal from where it stands; tell whether it was."""

        def ended(prediction: Prediction) -> Prediction | None:
            if status not in TRANSITIONS[prediction.status]:
                return None
            return msgspec.structs.replace(prediction, status=status, completed_at=now(), **fields)

        return self.amend(identity, ended)

    @translated()
    def amend(self, identity: str, change: Callable[[Prediction], Prediction | None]) -> bool:
        """Change an open prediction, however often others come in between; tell whether it was.

        Args:
            identity: of the prediction.
            change: makes what it is to be of what it is, or nothing when it is to stay so.
        """
        while True:
            try:
                group, prediction = self._find(identity)
            except NotFoundError:
                return False
            changed = None if prediction.status in ENDED else change(prediction)
            if changed is None:
                return False
            held = {"_id": group.id, "revision": group.revision}
            update = changes_of(group.replaced([changed]))
            if self._groups.update_one(held, update).matched_count == 1:
                return True

    @translated()
    def begin(self, identity: str) -> bool:
        """Note that work begins on a prediction that job workers do not claim; false when it has ended."""
        _, prediction = self._find(identity)
        if prediction.status is PredictionStatus.STARTING:
            first = {"_id": identity, "attempts": 0, "queue": {"$exists": True}}
            values = {"started_at": now(), "statuses": [PredictionStatus.PROCESSING]}
            self._groups.update_one(first, {"$set": values, "$inc": {"attempts": 1, "revision": 1}})
        return prediction.status not in ENDED

    @translated()
    def cancel_waiting(self, backend: str) -> int:
        """Cancel all predictions that wait for a worker of `backend`; return how many."""
        wanted: Document = {"statuses": PredictionStatus.STARTING, "backend": backend, "attempts": 0}
        time = now()
        values = {"canceled_at": time, "statuses": [PredictionStatus.CANCELED]}
        change = {
            "$set": values,
            "$unset": {"queue": "", "due_at": "", HELD: ""},
            "$inc": {"revision": 1},
        }
        called = {**change, "$set": values | {WEBHOOK_DUE: time}}
        found = list(self._groups.find(wanted, {"size": 1}))
        count = 0
        for start in range(0, len(found), _AT_ONCE):
            some = found[start : start + _AT_ONCE]
            mine: Document = {"_id": {"$in": [document["_id"] for document in some]}, "attempts": 0}
            waiting = {**mine, "queue": {"$exists": True}}
            writes = [UpdateMany({**waiting, "webhook": None}, change), UpdateMany(waiting, called)]
            self._groups.bulk_write(writes)
            done = self._groups.find({**mine, "canceled_at": time}, {"size": 1})
            count += sum(document["size"] for document in done)
        return count

    @translated()
    def waiting_since(self, backend: str) -> datetime | None:
        """Return when the one that has waited longest for a backend's job pool came, if one waits."""
        wanted: Document = {"due_at": {"$gte": _LONG_AGO}, "backend": backend, "attempts": 0}
        announced = self._groups.find(wanted, {"expires_at": 1})
        times = [document["expires_at"] - self._keep for document in announced]
        # What waits for its turn in a long lane begins where the last had it; there may be very much of it.
        lanes = self._lanes.find({"backend": backend}, {"cursor": 1})
        times += [moment_of(document["cursor"]) for document in lanes]
        return min(times, default=None)


def _grouped(new: Sequence[Prediction]) -> list[list[tuple[int, Prediction]]]:
    """Put those of one lane into one group each, with their places in `new`, and name them by it."""
    lanes: dict[tuple[str, bool, int], list[tuple[int, Prediction]]] = {}
    keys: set[str] = set()
    for place, item in enumerate(new):
        # The database sees to it that no two documents have the same key, not that one has it once. And
        # the calls of a webhook are noted in a document of their own.
        alone = place if item.key in keys or item.webhook is not None else -1
        if item.key is not None:
            keys.add(item.key)
        lanes.setdefault((item.lane, item.published_at is None, alone), []).append((place, item))
    groups = list(lanes.values())
    for group in groups:
        if len(group) > 1:
            name = group_of(group[0][1].id)
            group[:] = [
                (place, msgspec.structs.replace(item, id=f"{name}-{number:02x}"))
                for number, (place, item) in enumerate(group)
            ]
    return groups


def _stretches(before: str | None, keep: timedelta) -> Iterator[Document]:
    """Yield conditions on names of groups, from the newest to the oldest, that all of them meet one of.

    Names begin with the milliseconds of their creation.
    """
    upper = "" if before is None else group_of(before)
    newest = time_of(upper)
    oldest = name_at(time.time() - keep.total_seconds() - _OVERDUE)
    span = _FIRST_STRETCH
    included = True
    while True:
        bottom = time_of(newest, -span)
        condition = {} if not upper else {"$lte" if included else "$lt": upper}
        if bottom < oldest:
            yield condition
            return
        yield condition | {"$gte": bottom}
        upper, included = bottom, False
        span *= _GROWTH
