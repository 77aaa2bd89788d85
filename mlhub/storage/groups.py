"""Predictions that came at the same time, in one document: kept, claimed and ended by one write each.

The metadata database pays for each document it changes, and little for what is in it. What all predictions of
a group have in common stands in their document once.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Self

import msgspec
from pymongo.collection import Collection

from mlhub.common.prediction import ENDED, Prediction, PredictionStatus, group_of
from mlhub.common.tensor import Tensor
from mlhub.common.webhook import Webhook
from mlhub.storage.database import Document, now, to_document

LARGE: Final = 128 * 1024
"""Bytes of a result beyond which it stands in a document of its own: a database keeps 16 MiB in one."""

LOST_AFTER: Final = timedelta(seconds=5)
"""Time after which a message that no worker took up may be lost."""

WEBHOOK_DUE: Final = "webhook_due"
"""The field that ended predictions have whose webhook is to be called: from when on."""

HELD: Final = "held"
"""The field that open groups have which wait for their lane's turn: their name. The embedded database goes
through all there is to find a range of keys, but not to find one of another field."""

_TIME: Final = 12
"""Digits of the time in the name of a group: milliseconds."""

_OF_GROUP: Final = ("lease_until", "attempts", "published_at")
"""Fields of a prediction that its group has for all."""
_SHARED: Final = (
    *("model", "version", "backend", "deployment", "outputs", "single", "protocol"),
    *("labels", "created_at", "owner"),
)
"""Fields that never change, and often are the same in a whole group."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Predictions of one lane that are kept and worked on together."""

    id: str
    lane: str
    """What is served in turn with other lanes; see `Prediction.lane`."""
    backend: str
    predictions: tuple[Prediction, ...]
    revision: int = 0
    """Counts the changes to its predictions: each is made to the state that was read."""
    holder: str = ""
    """Name of the claim that was made last."""
    attempts: int = 0
    """How often a worker began."""
    lease_until: datetime
    """Until when the holder alone works on it, UTC."""
    started_at: datetime | None = None
    """When a worker last began."""
    published_at: datetime | None = None
    """When its message was last put on the queue; none while it waits for its lane's turn."""
    common: Document = {}
    """What its document has once for all its predictions."""

    @classmethod
    def of(cls, predictions: Sequence[Prediction]) -> Self:
        """Make the group of new predictions, which have its name in theirs."""
        first = predictions[0]
        return cls(
            id=group_of(first.id),
            lane=first.lane,
            backend=first.backend,
            predictions=tuple(predictions),
            lease_until=first.lease_until or first.created_at,
            attempts=first.attempts,
            published_at=first.published_at,
            common=_common([_item(item) for item in predictions]),
        )

    @property
    def open(self) -> tuple[Prediction, ...]:
        """Those that have not ended."""
        return tuple(item for item in self.predictions if item.status not in ENDED)

    @property
    def webhook(self) -> Webhook | None:
        """Whom to call at its end; a prediction with a webhook is a group of its own."""
        return self.predictions[0].webhook

    def announced_after(self, moment: datetime) -> bool:
        """Whether its message went out after `moment`, and no worker has begun since: it is on the queue."""
        sent = self.published_at
        return sent is not None and sent > moment and (self.started_at is None or sent > self.started_at)

    def replaced(self, changed: Sequence[Prediction]) -> Self:
        """Return the group with some of its predictions changed."""
        by_id = {item.id: item for item in changed}
        return msgspec.structs.replace(
            self, predictions=tuple(by_id.get(item.id, item) for item in self.predictions)
        )


def time_of(name: str, seconds: float = 0.0) -> str:
    """Return the beginning of names that are given `seconds` after that of a group."""
    try:
        moment = int(name[:_TIME], 16) / 1000
    except ValueError:
        moment = time.time()
    return name_at(moment + seconds)


def moment_of(name: str) -> datetime:
    """Return when a group was given its name, or now if that does not tell."""
    return datetime.fromtimestamp(int(time_of(name), 16) / 1000, UTC)


def name_at(moment: float) -> str:
    """Return the beginning of names that are given at a time, in seconds since 1970."""
    return f"{int(moment * 1000):0{_TIME}x}"


def document_of(group: Group, keep: timedelta) -> Document:
    """Make the document of a new group; it is kept for the time of `keep` from its creation."""
    document: Document = {
        "_id": group.id,
        "lane": group.lane,
        "backend": group.backend,
        "model": group.predictions[0].model,
        "revision": group.revision,
        "holder": group.holder,
        "lease_until": group.lease_until,
        "attempts": group.attempts,
        "started_at": group.started_at,
        "published_at": group.published_at,
        "expires_at": group.predictions[0].created_at + keep,
        "size": len(group.predictions),
        "common": group.common,
        **changes_of(group)["$set"],
    }
    if keys := [item.key for item in group.predictions if item.key is not None]:
        document["keys"] = keys
    if group.webhook is not None:
        document["webhook"] = to_document(group.webhook)
    if group.open and group.published_at is not None:
        document["due_at"] = group.published_at + LOST_AFTER
    elif group.open:
        document[HELD] = group.id
    return document


def changes_of(group: Group) -> Document:
    """Make the update that brings the predictions of a kept group, still open, to those of `group`.

    Everything that is looked up by what its predictions are follows from them here.
    """
    values: Document = {
        "items": [_without(_item(item), group.common) for item in group.predictions],
        "statuses": sorted({item.status for item in group.predictions}),
    }
    change: Document = {"$set": values, "$inc": {"revision": 1}}
    if group.open:
        values["queue"] = group.lane
    else:
        change["$unset"] = {"queue": "", "due_at": "", HELD: ""}
        if group.webhook is not None:
            values[WEBHOOK_DUE] = now()
    return change


def group_in(document: Document) -> Group:
    """Make the group of a document; also of one from hubs that kept each prediction by itself."""
    if "items" not in document:
        return Group.of([msgspec.convert(document, Prediction)])
    shared = {**document["common"], **{name: document[name] for name in _OF_GROUP}}
    if document["attempts"]:
        shared |= {"status": PredictionStatus.PROCESSING, "started_at": document["started_at"]}
    if "canceled_at" in document:
        shared |= {"status": PredictionStatus.CANCELED, "completed_at": document["canceled_at"]}
    if "webhook" in document:
        shared["webhook"] = document["webhook"]
    items = document["items"]
    name = document["_id"]
    names = [name] if len(items) == 1 else [f"{name}-{place:02x}" for place in range(len(items))]
    return Group(
        id=name,
        lane=document["lane"],
        backend=document["backend"],
        predictions=tuple(
            msgspec.convert({**shared, **item, "id": identity}, Prediction)
            for identity, item in zip(names, items, strict=True)
        ),
        revision=document["revision"],
        holder=document["holder"],
        attempts=document["attempts"],
        lease_until=document["lease_until"],
        started_at=document["started_at"],
        published_at=document["published_at"],
        common=document["common"],
    )


def whole(prediction: Prediction, results: Collection[Document]) -> Prediction:
    """Return a prediction with its outputs, also when those are kept apart."""
    if not prediction.apart:
        return prediction
    document = results.find_one({"_id": prediction.id})
    if document is None:
        return prediction
    outputs = msgspec.convert(document["result"], tuple[Tensor, ...])
    return msgspec.structs.replace(prediction, result=outputs)


def _item(prediction: Prediction) -> Document:
    document = to_document(prediction)
    # What the group has for all, and what others change without regard to the rest.
    for name in ("id", "webhook", *_OF_GROUP):
        document.pop(name, None)
    if prediction.status not in ENDED:
        # What the group says of those that are open.
        document.pop("status", None)
        document.pop("started_at", None)
    return document


def _common(items: Sequence[Document]) -> Document:
    first, *others = items
    return {
        name: value
        for name, value in first.items()
        if name in _SHARED and all(other.get(name) == value for other in others)
    }


def _without(item: Document, common: Document) -> Document:
    return {name: value for name, value in item.items() if name not in common or common[name] != value}
