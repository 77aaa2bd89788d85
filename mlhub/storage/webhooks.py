"""Webhooks that are due: a time in the documents of ended predictions, which is the lease on them as well."""

from collections.abc import Collection
from datetime import datetime, timedelta

import msgspec
from pymongo import ASCENDING
from pymongo.database import Database

from mlhub.common.prediction import Prediction
from mlhub.common.webhook import Delivery
from mlhub.storage.database import Document, compare_and_set, now, to_document, translated
from mlhub.storage.groups import WEBHOOK_DUE, group_in, whole


class Due(msgspec.Struct, frozen=True):
    """A webhook that is to be called."""

    prediction: str
    host: str
    since: datetime


class WebhookStore:
    """Webhooks, in the collection `predictions`."""

    def __init__(self, database: Database[Document]) -> None:
        self._predictions = database["predictions"]
        self._results = database["prediction_results"]

    @translated()
    def create_indexes(self) -> None:
        """Make the index that finds them; one that exists stays."""
        # Sparse: the field is there only from a prediction's end to the end of its webhook.
        self._predictions.create_index(WEBHOOK_DUE, sparse=True)

    @translated()
    def due(self, busy: Collection[str], limit: int) -> list[Due]:
        """Return up to `limit` webhooks that are due, those that wait the longest first.

        Args:
            busy: hosts that get no more calls for now.
            limit: how many at most.
        """
        wanted: Document = {WEBHOOK_DUE: {"$lte": now()}}
        if busy:
            wanted["webhook.host"] = {"$nin": sorted(busy)}
        found = self._predictions.find(wanted, {WEBHOOK_DUE: 1, "webhook.host": 1})
        return [
            Due(document["_id"], document["webhook"]["host"], document[WEBHOOK_DUE])
            for document in found.sort(WEBHOOK_DUE, ASCENDING).limit(limit)
        ]

    @translated()
    def take(self, due: Due, lease: timedelta) -> tuple[Prediction, datetime] | None:
        """Take a webhook to call, unless another process did.

        Returns:
            The prediction without its inputs, and the end of the lease, at which the webhook is due again.
        """
        until = now() + lease
        change: Document = {"$set": {WEBHOOK_DUE: until}, "$inc": {"webhook.attempts": 1}}
        if not compare_and_set(self._predictions, due.prediction, {WEBHOOK_DUE: due.since}, change):
            return None
        document = self._predictions.find_one({"_id": due.prediction}, {"items.inputs": 0})
        if document is None:
            return None
        return whole(group_in(document).predictions[0], self._results), until

    @translated()
    def record(self, prediction: str, held: datetime, delivery: Delivery, again: datetime | None) -> None:
        """Keep how a call went.

        Args:
            prediction: whose webhook was called.
            held: the end of the lease, by which it is known; one that was lost changes no due time.
            delivery: how it went.
            again: when to call again; never, if not given.
        """
        added: Document = {"$push": {"webhook.deliveries": to_document(delivery)}}
        due: Document = {"$unset": {WEBHOOK_DUE: ""}} if again is None else {"$set": {WEBHOOK_DUE: again}}
        if not compare_and_set(self._predictions, prediction, {WEBHOOK_DUE: held}, added | due):
            self._predictions.update_one({"_id": prediction}, added)

    @translated()
    def give_up(self, prediction: str, held: datetime) -> None:
        """Call a webhook no more."""
        compare_and_set(self._predictions, prediction, {WEBHOOK_DUE: held}, {"$unset": {WEBHOOK_DUE: ""}})
