"""The entries of models: kept, changed by revision, listed page by page."""

import time
from collections.abc import Mapping
from datetime import UTC
from typing import Final

import msgspec
from pymongo import ASCENDING, DESCENDING
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from mlhub.common.errors import ConflictError, NotFoundError, PreconditionFailedError
from mlhub.common.model import Model, Version
from mlhub.storage.database import Document, compare_and_set, now, to_document, to_record, translated
from mlhub.storage.paging import Page
from mlhub.storage.sample import Sample, in_sample
from mlhub.storage.search import Order, search
from mlhub.storage.terms import ModelFilter, conditions, terms_of, words_of

_FREE: Final = ("meta", "input_example")
"""Fields with the owner's own keys: kept as JSON text, since documents reserve keys with `$` and dots."""

SORTS: Final[Mapping[str, Order]] = {
    "name": Order("model", ASCENDING),
    "-name": Order("model", DESCENDING),
    "updated_at": Order("recency", ASCENDING),
    "-updated_at": Order("recency", DESCENDING),
}
"""Orders a list may have, by the name a client gives."""
_SORTED: Final = ("model", "recency")
_FRESH: Final = 60.0
"""Seconds for which a sample of the entries is used."""
_SHOWN: Final = msgspec.json.Decoder(list[Version])
_AT_ONCE: Final = 200
"""Documents rewritten in one go."""


class Listed(msgspec.Struct, frozen=True):
    """An entry as lists show it, from one document."""

    model: Model
    versions: list[Version]
    """Its versions as they were when the entry was last brought up to date, newest first."""


class ModelStore:
    """Entries of models, in the collection `models`."""

    def __init__(self, database: Database[Document]) -> None:
        self.entries = database["models"]
        """The documents themselves."""
        self._sample: tuple[Sample, float] | None = None

    @translated()
    def create_indexes(self) -> None:
        """Make the indexes that listing needs, and bring documents of older hubs to their form."""
        self.entries.create_index([("terms", ASCENDING), ("model", ASCENDING)])
        self.entries.create_index("model")
        self.entries.create_index("recency")
        self.entries.create_index("sample", sparse=True)
        while older := list(self.entries.find({"recency": None}).limit(_AT_ONCE)):
            for document in older:
                fresh = document_of(_record(document))
                del fresh["_id"]
                shown = document.get("shown", "[]")
                condition = {"revision": document["revision"]}
                compare_and_set(self.entries, document["_id"], condition, {"$set": fresh | {"shown": shown}})

    @translated()
    def create(self, model: Model) -> None:
        """Keep a new entry.

        Raises:
            ConflictError: there is one of that name.
        """
        try:
            self.entries.insert_one(document_of(model) | {"shown": "[]"})
        except DuplicateKeyError:
            raise ConflictError(
                f"There is a model named {model.model!r} already; change it with PUT or choose another name.",
                code="model_exists",
            ) from None

    @translated()
    def get(self, name: str) -> Model:
        """Return an entry.

        Raises:
            NotFoundError: there is none of that name.
        """
        document = self.entries.find_one({"_id": name})
        if document is None:
            raise missing(name)
        return _record(document)

    @translated()
    def listed(self, name: str) -> Listed:
        """Return an entry as lists show it.

        Raises:
            NotFoundError: there is none of that name.
        """
        document = self.entries.find_one({"_id": name})
        if document is None:
            raise missing(name)
        return _listed(document)

    @translated()
    def replace(self, model: Model, *, expected: int, versions: list[Version] | None = None) -> Model:
        """Keep a changed entry if the kept one still has the revision `expected`.

        Args:
            model: the entry.
            expected: the revision that the change was made from.
            versions: what lists show of its versions from now on; nothing leaves that as it is.

        Returns:
            The entry as it is kept now, with its new revision and time.

        Raises:
            PreconditionFailedError: somebody else changed it, or it is gone.
        """
        changed = msgspec.structs.replace(model, revision=expected + 1, updated_at=now())
        document = document_of(changed)
        del document["_id"]
        if versions is not None:
            document["shown"] = msgspec.json.encode(versions).decode()
        if not compare_and_set(self.entries, model.model, {"revision": expected}, {"$set": document}):
            raise PreconditionFailedError(
                f"The model {model.model!r} has changed since it was read; read it again.",
            )
        return changed

    @translated()
    def delete(self, name: str) -> bool:
        """Remove an entry; tell whether it was there."""
        return self.entries.delete_one({"_id": name}).deleted_count == 1

    @translated()
    def page(self, wanted: ModelFilter, sort: str, limit: int, cursor: str | None) -> Page[Listed]:
        """Return up to `limit` entries in the order `sort`, after the one that `cursor` stands for.

        Raises:
            MalformedError: the cursor is none of a list in this order.
        """
        page = search(self.entries, self._sampled(), conditions(wanted), SORTS[sort], limit, cursor)
        return Page([_listed(document) for document in page.items], page.following)

    def _sampled(self) -> Sample:
        """Return a sample of the entries that is not too old."""
        known = self._sample
        if known is None or time.monotonic() - known[1] > _FRESH:
            fields = dict.fromkeys(("terms", *_SORTED), 1)
            known = (Sample(self.entries.find({"sample": True}, fields), _SORTED), time.monotonic())
            self._sample = known
        return known[0]


def missing(name: str) -> NotFoundError:
    """Say that there is no model of this name."""
    return NotFoundError(f"There is no model named {name!r}.", code="model_not_found")


def document_of(model: Model) -> Document:
    """Make the document of an entry, without what lists show of its versions."""
    document = to_document(model)
    for field in _FREE:
        document[field] = msgspec.json.encode(document[field]).decode()
    document["_id"] = model.model
    document["words"] = words_of(model)
    document["terms"] = terms_of(model)
    # Different for each entry, and in the order of time: a place in the list needs no second field.
    document["recency"] = f"{model.updated_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f} {model.model}"
    if in_sample(model.model):
        document["sample"] = True
    return document


def _record(document: Document) -> Model:
    decoded = {field: msgspec.json.decode(document[field]) for field in _FREE}
    return to_record(document | decoded, Model)


def _listed(document: Document) -> Listed:
    return Listed(_record(document), _SHOWN.decode(document.get("shown", "[]")))
