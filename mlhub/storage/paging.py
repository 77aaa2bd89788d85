"""Pages of lists: a cursor stands for the last entry seen, so that pages stay stable while others write."""

import base64
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
from pymongo import ASCENDING

from mlhub.common.errors import MalformedError
from mlhub.storage.database import Document

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some entries of a list."""

    items: list[T]
    following: str | None
    """Cursor of the next page; `None` on the last one."""


class SortKey(msgspec.Struct, frozen=True):
    """The field a list is sorted by; ties go by `_id`."""

    field: str
    direction: int
    """`ASCENDING` or `DESCENDING` of the driver."""

    def order(self) -> list[tuple[str, int]]:
        """Return the order in the driver's form."""
        if self.field == "_id":
            return [("_id", self.direction)]
        return [(self.field, self.direction), ("_id", self.direction)]


def cursor_of(document: Document, key: SortKey) -> str:
    """Return the cursor that stands for `document`."""
    values = [document["_id"]] if key.field == "_id" else [document["_id"], document[key.field]]
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


def after(cursor: str, key: SortKey) -> Document:
    """Return the condition that holds for what comes after `cursor`.

    Raises:
        MalformedError: it is no cursor of a list in this order.
    """
    comparison = "$gt" if key.direction == ASCENDING else "$lt"
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        if key.field == "_id":
            (identity,) = msgspec.json.decode(raw, type=tuple[str])
            return {"_id": {comparison: identity}}
        identity, value = msgspec.json.decode(raw, type=tuple[str, datetime])
    except (ValueError, msgspec.DecodeError):
        raise MalformedError(
            "The cursor is not one that this list gave; start again without it.", code="bad_cursor"
        ) from None
    tie: dict[str, Any] = {key.field: value, "_id": {comparison: identity}}
    return {"$or": [{key.field: {comparison: value}}, tie]}
