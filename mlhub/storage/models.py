"""The entries of models: kept, changed by revision, listed page by page."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from pymongo import ASCENDING, DESCENDING
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from mlhub.common.errors import ConflictError, NotFoundError, PreconditionFailedError
from mlhub.common.model import Model, ModelState
from mlhub.storage.database import Document, compare_and_set, now, to_document, to_record, translated
from mlhub.storage.paging import Page, SortKey, after, cursor_of

_FREE: Final = ("meta", "input_example")
"""Fields with the owner's own keys: kept as JSON text, since documents reserve keys with `$` and dots."""
_WORD: Final = re.compile(r"\w+")

SORTS: Final[Mapping[str, SortKey]] = {
    "name": SortKey("_id", ASCENDING),
    "-name": SortKey("_id", DESCENDING),
    "updated_at": SortKey("updated_at", ASCENDING),
    "-updated_at": SortKey("updated_at", DESCENDING),
}
"""Orders a list may have, by the name a client gives."""


class ModelFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries to list; what is not given does not matter."""

    q: str = ""
    """Words that must all begin a word of name, description, tags or discipline."""
    type: str | None = None
    discipline: str | None = None
    owner: str | None = None
    tag: str | None = None
    state: ModelState | None = None


class ModelStore:
    """Entries of models, in the collection `models`."""

    def __init__(self, database: Database[Document]) -> None:
        self._models = database["models"]

    @translated()
    def create_indexes(self) -> None:
        """Make the indexes that listing needs; those that exist stay."""
        for key in ("words", "type", "discipline", "owner", "tags", "state", "updated_at"):
            self._models.create_index([(key, ASCENDING), ("_id", ASCENDING)])

    @translated()
    def create(self, model: Model) -> None:
        """Keep a new entry.

        Raises:
            ConflictError: there is one of that name.
        """
        try:
            self._models.insert_one(_document(model))
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
        document = self._models.find_one({"_id": name})
        if document is None:
            raise missing(name)
        return _record(document)

    @translated()
    def replace(self, model: Model, *, expected: int) -> Model:
        """Keep a changed entry if the kept one still has the revision `expected`.

        Returns:
            The entry as it is kept now, with its new revision and time.

        Raises:
            PreconditionFailedError: somebody else changed it, or it is gone.
        """
        changed = msgspec.structs.replace(model, revision=expected + 1, updated_at=now())
        document = _document(changed)
        del document["_id"]
        if not compare_and_set(self._models, model.model, {"revision": expected}, {"$set": document}):
            raise PreconditionFailedError(
                f"The model {model.model!r} has changed since it was read; read it again.",
            )
        return changed

    @translated()
    def delete(self, name: str) -> bool:
        """Remove an entry; tell whether it was there."""
        return self._models.delete_one({"_id": name}).deleted_count == 1

    @translated()
    def page(self, wanted: ModelFilter, sort: str, limit: int, cursor: str | None) -> Page[Model]:
        """Return up to `limit` entries in the order `sort`, after the one that `cursor` stands for."""
        key = SORTS[sort]
        clauses: list[Document] = [
            {name: value} for name, value in _equalities(wanted).items() if value is not None
        ]
        clauses += [{"words": {"$regex": f"^{re.escape(word)}"}} for word in words(wanted.q)]
        if cursor is not None:
            clauses.append(after(cursor, key))
        found = self._models.find({"$and": clauses} if clauses else {}).sort(key.order()).limit(limit + 1)
        documents = list(found)
        following = cursor_of(documents[limit - 1], key) if len(documents) > limit else None
        return Page([_record(document) for document in documents[:limit]], following)


def missing(name: str) -> NotFoundError:
    """Say that there is no model of this name."""
    return NotFoundError(f"There is no model named {name!r}.", code="model_not_found")


def words(text: str) -> list[str]:
    """Split a text into the words that a search compares, in lower case, each once."""
    return sorted(set(_WORD.findall(text.lower())))


def _equalities(wanted: ModelFilter) -> dict[str, Any]:
    return {
        "type": wanted.type,
        "discipline": wanted.discipline,
        "owner": wanted.owner,
        "tags": wanted.tag,
        "state": wanted.state,
    }


def _document(model: Model) -> Document:
    document = to_document(model)
    for field in _FREE:
        document[field] = msgspec.json.encode(document[field]).decode()
    document["_id"] = model.model
    document["words"] = words(" ".join((model.model, model.description, model.discipline, *model.tags)))
    return document


def _record(document: Document) -> Model:
    decoded = {field: msgspec.json.decode(document[field]) for field in _FREE}
    return to_record(document | decoded, Model)
