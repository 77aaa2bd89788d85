"""The entries of models: kept, changed by revision, listed page by page."""

import secrets
from collections.abc import Iterable, Mapping
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
from mlhub.storage.search import MARK, Order, search
from mlhub.storage.segments import SegmentStore
from mlhub.storage.terms import ModelFilter, conditions, words_of

_FREE: Final = ("meta", "input_example")
"""Fields with the owner's own keys: kept as JSON text, since documents reserve keys with `$` and dots."""

SORTS: Final[Mapping[str, Order]] = {
    "name": Order("model", ASCENDING),
    "-name": Order("model", DESCENDING),
    "updated_at": Order("recency", ASCENDING),
    "-updated_at": Order("recency", DESCENDING),
}
"""Orders a list may have, by the name a client gives."""
_SHOWN: Final = msgspec.json.Decoder(list[Version])
_OLD_INDEXES: Final = {"terms_1_model_1", "model_1", "recency_1", "sample_1"}
"""Indexes of older hubs, which only made writing slow."""
_OLD_FIELDS: Final = ("terms", "sample")
_FORM: Final = 2
"""What documents are like; another one when they have to be rewritten."""


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
        self.segments = SegmentStore(database)
        """Where those that do not change just now are found."""
        self._forms = database["forms"]

    @translated()
    def create_indexes(self) -> None:
        """Make the index that listing needs, and bring documents of older hubs to their form.

        Removing the record in the collection `forms` has everything indexed again at the next start.
        """
        self.entries.create_index(MARK, sparse=True)
        record = self._forms.find_one({"_id": "models"})
        if record is not None and record["form"] == _FORM:
            return
        for index in self.entries.index_information().keys() & _OLD_INDEXES:
            self.entries.drop_index(index)
        for name in [document["_id"] for document in self.entries.find({}, {"_id": 1})]:
            self._renew(name)
        self._forms.replace_one({"_id": "models"}, {"form": _FORM}, upsert=True)

    def _renew(self, name: str) -> None:
        document = self.entries.find_one({"_id": name})
        if document is not None:
            fresh = document_of(_record(document))
            del fresh["_id"]
            change = {
                "$set": fresh | {"shown": document.get("shown", "[]")},
                "$unset": dict.fromkeys(_OLD_FIELDS, ""),
            }
            # Somebody who changed it meanwhile has brought it to its form.
            compare_and_set(self.entries, name, {"revision": document["revision"]}, change)

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
    def several(self, names: Iterable[str]) -> dict[str, Model]:
        """Return the entries of these names, by name, as far as there are any: in one query."""
        found = self.entries.find({"_id": {"$in": sorted(set(names))}})
        return {document["_id"]: _record(document) for document in found}

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
        page = search(self.entries, self.segments, conditions(wanted), SORTS[sort], limit, cursor)
        return Page([_listed(document) for document in page.items], page.following)


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
    # Different for each entry, and in the order of time: a place in the list needs no second field.
    document["recency"] = f"{model.updated_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f} {model.model}"
    document[MARK] = secrets.token_hex(8)
    return document


def _record(document: Document) -> Model:
    decoded = {field: msgspec.json.decode(document[field]) for field in _FREE}
    return to_record(document | decoded, Model)


def _listed(document: Document) -> Listed:
    return Listed(_record(document), _SHOWN.decode(document.get("shown", "[]")))
