"""Finds one page among very many entries, with work that depends on the page and not on their number.

The embedded database fetches all that its index yields before it sorts and cuts, and takes one index a
query. So a page is looked up in one of two ways, whichever the sample says is less work: all entries that
have the rarest of the wanted terms, or stretch after stretch of the list in its order, each of a few
hundred entries, until the page is full. A database that plans better is led to the same indexes.
"""

import base64
import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from pymongo.collection import Collection

from mlhub.common.errors import MalformedError
from mlhub.storage.database import Document
from mlhub.storage.paging import Page
from mlhub.storage.sample import RATE, Sample
from mlhub.storage.terms import Condition

_GROWTH: Final = 3
"""How much longer each stretch is than the one before."""
_SPARE: Final = 1.5
"""Times the entries that should fill a page, which a first stretch holds."""


class Order(msgspec.Struct, frozen=True):
    """A field whose values are texts, different for each entry, and the direction to go through it."""

    field: str
    direction: int
    """`ASCENDING` or `DESCENDING` of the driver."""

    @property
    def forward(self) -> bool:
        """Whether values grow."""
        return self.direction > 0

    def between(self, start: str | None, end: str | None) -> Document:
        """Return the condition for what comes after `start` and not after `end`."""
        after, until = ("$gt", "$lte") if self.forward else ("$lt", "$gte")
        bounds = {operator: value for operator, value in ((after, start), (until, end)) if value is not None}
        return {self.field: bounds} if bounds else {}


def cursor_of(order: Order, document: Document) -> str:
    """Return the cursor that stands for `document` in a list."""
    text = msgspec.json.encode([order.field, document[order.field]])
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def place_of(order: Order, cursor: str) -> str:
    """Return the value that a cursor stands for.

    Raises:
        MalformedError: it is no cursor of a list in this order.
    """
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        field, value = msgspec.json.decode(raw, type=tuple[str, str])
    except (ValueError, msgspec.DecodeError):
        field, value = "", ""
    if field != order.field:
        raise MalformedError(
            "The cursor is not one that this list gave; start again without it.", code="bad_cursor"
        )
    return value


def search(
    entries: Collection[Document],
    sample: Sample,
    wanted: Sequence[Condition],
    order: Order,
    limit: int,
    cursor: str | None,
) -> Page[Document]:
    """Return up to `limit` documents that meet all conditions, after the one that `cursor` stands for.

    Raises:
        MalformedError: the cursor is none of this order.
    """
    start = None if cursor is None else place_of(order, cursor)
    found = _Lookup(entries, sample, wanted, order).after(start, limit + 1)
    following = cursor_of(order, found[limit - 1]) if len(found) > limit else None
    return Page(found[:limit], following)


class _Lookup:
    """One look for entries."""

    def __init__(
        self, entries: Collection[Document], sample: Sample, wanted: Sequence[Condition], order: Order
    ) -> None:
        self._entries = entries
        self._sample = sample
        self._wanted = wanted
        self._order = order
        counts = {item: sample.count(item.term) for item in wanted if item.term is not None}
        self._rarest = min(counts, key=lambda item: counts[item], default=None)
        self._fewest = counts[self._rarest] if self._rarest is not None else math.inf
        # The index of terms is in the order of names: a stretch of it holds nothing but what is wanted.
        alone = len(wanted) == 1 and self._rarest is not None and self._rarest.exact
        self._in_order = self._rarest is None or (alone and order.field == "model")
        self._share = math.prod(min(1.0, count / sample.total) for count in counts.values())

    def after(self, start: str | None, want: int) -> list[Document]:
        """Return the first `want` that come after `start`."""
        found: list[Document] = []
        length = _SPARE * want / self._share
        spent = 0.0
        while self._in_order or spent + length <= self._fewest:
            end = self._sample.fence(self._order.field, start, length, forward=self._order.forward)
            found += self._stretch(start, end, want - len(found))
            if len(found) >= want or end is None:
                return found
            spent += max(length, RATE)
            start, length = end, _GROWTH * max(length, RATE)
        return found + self._with_rarest(start, want - len(found))

    def _stretch(self, start: str | None, end: str | None, want: int) -> list[Document]:
        stretch = self._order.between(start, end)
        if self._in_order and self._rarest is not None:
            return self._find({"terms": self._rarest.term} | stretch, want)
        # The range comes first: of several fields the embedded database looks up the first that it can.
        return self._find(stretch | _checks(self._wanted), want)

    def _with_rarest(self, start: str | None, want: int) -> list[Document]:
        others = [item for item in self._wanted if item is not self._rarest or not item.exact]
        term = {} if self._rarest is None else {"terms": self._rarest.term}
        return self._find(term | _checks(others) | self._order.between(start, None), want)

    def _find(self, condition: Document, want: int) -> list[Document]:
        return list(self._entries.find(condition).sort(self._order.field, self._order.direction).limit(want))


def _checks(wanted: Sequence[Condition]) -> Document:
    """Return the conditions as the database checks them on each document."""
    checks: dict[str, list[Any]] = {}
    for item in wanted:
        checks.setdefault(item.field, []).append(item.value)
    return {field: values[0] if len(values) == 1 else {"$all": values} for field, values in checks.items()}
