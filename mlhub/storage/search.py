"""Finds one page among very many entries, with work that depends on the page and not on their number.

An entry that was written lately is marked, and looked at one by one; there are few of them. All others are
in segments of the search index: there, each condition is a set of numbers of entries, and what meets all is
their intersection. What is found so is read by name and checked, since it may have changed or gone since.
"""

import base64
import heapq
from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import islice
from typing import Final

import msgspec
import numpy as np
from pymongo.collection import Collection

from mlhub.common.errors import MalformedError, UnavailableError
from mlhub.storage.database import Document
from mlhub.storage.paging import Page
from mlhub.storage.segment import Block, Head
from mlhub.storage.segments import GoneError, Live, SegmentStore
from mlhub.storage.terms import Condition, checks

MARK: Final = "unindexed"
"""Field of entries that are in no segment as they are now; its value is another one at each change."""
MARKED: Final = {MARK: {"$gt": ""}}
"""The condition for those."""
_TRIES: Final = 20
"""How often to begin again when segments come and go meanwhile."""
_SPARE: Final = 5
"""Entries read besides those wanted, in case some have changed."""


class Order(msgspec.Struct, frozen=True):
    """A field whose values are texts, different for each entry, and the direction to go through it."""

    field: str
    """`model` or `recency`."""
    direction: int
    """`ASCENDING` or `DESCENDING` of the driver."""

    @property
    def forward(self) -> bool:
        """Whether values grow."""
        return self.direction > 0

    def after(self, start: str | None) -> Document:
        """Return the condition for what comes after `start`."""
        return {} if start is None else {self.field: {"$gt" if self.forward else "$lt": start}}


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
    segments: SegmentStore,
    wanted: Sequence[Condition],
    order: Order,
    limit: int,
    cursor: str | None,
) -> Page[Document]:
    """Return up to `limit` documents that meet all conditions, after the one that `cursor` stands for.

    Raises:
        MalformedError: the cursor is none of this order.
        UnavailableError: segments come and go too fast.
    """
    start = None if cursor is None else place_of(order, cursor)
    lookup = _Lookup(entries, segments, wanted, order)
    for _ in range(_TRIES):
        known = segments.known
        marked = lookup.marked(start, limit + 1)
        # An entry loses its mark when a segment has it, and gets one before its segment goes. So when the
        # segments were the same before and afterwards, every entry is in what was found or in one of them.
        live = segments.live()
        if live != known:
            continue
        try:
            found = lookup.after(start, limit + 1, live, marked)
        except GoneError:
            continue
        following = cursor_of(order, found[limit - 1]) if len(found) > limit else None
        return Page(found[:limit], following)
    raise UnavailableError("The list of models is being put in order; try again in a moment.")


class _Lookup:
    """One look for entries."""

    def __init__(
        self,
        entries: Collection[Document],
        segments: SegmentStore,
        wanted: Sequence[Condition],
        order: Order,
    ) -> None:
        self._entries = entries
        self._segments = segments
        self._terms = [item.term for item in wanted]
        self._checks = checks(wanted)
        self._order = order

    def marked(self, start: str | None, want: int) -> list[Document]:
        """Return the first `want` marked entries that come after `start`."""
        field, direction = self._order.field, self._order.direction
        condition = MARKED | self._checks | self._order.after(start)
        return list(self._entries.find(condition).sort(field, direction).limit(want))

    def after(
        self, start: str | None, want: int, live: Sequence[Live], marked: list[Document]
    ) -> list[Document]:
        """Return the first `want` that come after `start`, of the marked ones and those in segments."""
        found = {document["_id"]: document for document in marked}
        candidates = self._candidates(start, live)
        field = self._order.field
        missing, spare = want, _SPARE
        while missing > 0:
            some = set(islice(candidates, missing + spare))
            if not some:
                break
            names = sorted({name for _, name in some})
            for document in self._entries.find({"_id": {"$in": names}} | self._checks):
                name = document["_id"]
                # One whose place has changed is found where it is now.
                if (document[field], name) in some and name not in found:
                    found[name] = document
                    missing -= 1
            spare *= 2
        ordered = sorted(
            found.values(), key=lambda document: document[field], reverse=not self._order.forward
        )
        return ordered[:want]

    def _candidates(self, start: str | None, live: Sequence[Live]) -> Iterator[tuple[str, str]]:
        """Yield key and name of what meets the conditions in segments, in order."""
        heads = {segment.key: self._segments.head(segment.key) for segment in live}
        places = [
            (key, [(key, number) for number in head.blocks(term)])
            for key, head in heads.items()
            for term in self._terms
        ]
        blocks = self._segments.blocks({place for _, some in places for place in some}) if places else {}
        streams = [
            self._within(
                head,
                [[blocks[key, number] for number in head.blocks(term)] for term in self._terms],
                start,
            )
            for key, head in heads.items()
        ]
        return heapq.merge(*streams, reverse=not self._order.forward)

    def _within(
        self, head: Head, blocks: Sequence[Sequence[Block]], start: str | None
    ) -> Iterator[tuple[str, str]]:
        """Yield key and name of what meets the conditions in one segment, in order."""
        sets = [self._set(head, index, some) for index, some in enumerate(blocks)]
        chosen = reduce(np.logical_and, sets, np.ones(len(head.names), bool))
        by_name = self._order.field == "model"
        if not by_name:
            chosen = chosen[head.by_recency]
        keys = head.names if by_name else head.recencies
        if self._order.forward:
            first = 0 if start is None else keys.until(start)
            places = first + np.flatnonzero(chosen[first:])
        else:
            places = np.flatnonzero(chosen[: None if start is None else keys.before(start)])[::-1]
        for place in map(int, places):
            key = keys[place]
            yield key, key if by_name else head.names[int(head.by_recency[place])]

    def _set(self, head: Head, index: int, blocks: Sequence[Block]) -> np.ndarray:
        """Return which of a segment's entries have a term, [entries] of truth values."""
        chosen = np.zeros(len(head.names), bool)
        for block in blocks:
            chosen[block.find(self._terms[index])] = True
        return chosen
