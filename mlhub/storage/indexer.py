"""Puts entries into segments of the search index, and joins small segments to larger ones."""

import secrets
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from pymongo.database import Database

from mlhub.storage.database import Document, translated
from mlhub.storage.leases import LeaseStore
from mlhub.storage.models import ModelStore
from mlhub.storage.search import MARK, MARKED
from mlhub.storage.segment import LARGEST, Entry, build, merge
from mlhub.storage.segments import GoneError, Live
from mlhub.storage.terms import TERM_FIELDS, terms_of

ENOUGH: Final = 64
"""Marked entries for which a segment is made; each search looks at all that are marked."""
_MOST: Final = 1024
"""Entries of a new segment at most."""
_FACTOR: Final = 8
"""Segments of about one size that become one."""
_FEW: Final = 100
"""Documents looked for in one call."""
_LEASE: Final = timedelta(minutes=2)
"""More than one step takes. Two processes at once do no harm, only the same work."""
_TASK: Final = "search-index"


class Indexer:
    """Keeps the search index in shape; in every process that writes entries."""

    def __init__(self, database: Database[Document], models: ModelStore, largest: int = LARGEST) -> None:
        """Prepare.

        Args:
            database: where leases are.
            models: the entries.
            largest: entries of a segment that this process makes, at most.
        """
        self._entries = models.entries
        self._segments = models.segments
        self._largest = largest
        self._leases = LeaseStore(database)
        self._holder = secrets.token_hex(8)

    @translated()
    def run(self) -> None:
        """Do what there is to do, unless another process does.

        Raises:
            UnavailableError: the database is away.
        """
        self._segments.sweep()
        if not self._is_due() or not self._leases.take(_TASK, self._holder, _LEASE):
            return
        try:
            while self._adopt() or self._join():
                if not self._leases.take(_TASK, self._holder, _LEASE):
                    return
        finally:
            self._leases.give_back(_TASK, self._holder)

    def _is_due(self) -> bool:
        marked = list(self._entries.find(MARKED, {"_id": 1}).limit(ENOUGH))
        return len(marked) == ENOUGH or bool(due(self._segments.live(), self._largest))

    def _adopt(self) -> bool:
        """Make a segment of entries that are marked; tell whether there were enough."""
        fields = dict.fromkeys(("model", "recency", MARK, *TERM_FIELDS), 1)
        found = list(self._entries.find(MARKED, fields).limit(_MOST))
        if len(found) < ENOUGH:
            return False
        entries = [Entry(document["model"], document["recency"], terms_of(document)) for document in found]
        self._segments.add(build(entries))
        for some in _parts([document[MARK] for document in found]):
            # One that has changed meanwhile has another mark, and keeps it.
            self._entries.update_many({MARK: {"$in": some}}, {"$unset": {MARK: ""}})
        return True

    def _join(self) -> bool:
        """Make one segment of several; tell whether there were enough."""
        several = due(self._segments.live(), self._largest)
        if not several:
            return False
        try:
            segments = [self._segments.whole(segment) for segment in several]
        except GoneError:
            return True
        seen: set[str] = set()
        twice: set[str] = set()
        kept: list[list[bool]] = []
        for segment in segments:
            current = self._current(segment.names)
            keep = [
                current.get(name) == recency
                for name, recency in zip(segment.names, segment.recencies, strict=True)
            ]
            names = {name for name, wanted in zip(segment.names, keep, strict=True) if wanted}
            twice |= names & seen
            seen |= names
            kept.append(keep)
        # Written twice within a millisecond: which of the two is the last cannot be told from here.
        for some in _parts(sorted(twice)):
            self._entries.update_many({"_id": {"$in": some}}, {"$set": {MARK: secrets.token_hex(8)}})
        kept = [
            [wanted and name not in twice for name, wanted in zip(segment.names, keep, strict=True)]
            for segment, keep in zip(segments, kept, strict=True)
        ]
        if any(map(any, kept)):
            self._segments.add(merge(segments, kept))
        self._segments.remove(several)
        return True

    def _current(self, names: Sequence[str]) -> dict[str, str]:
        """Return the recency of those entries that are there and not marked."""
        found: dict[str, str] = {}
        for some in _parts(names):
            for document in self._entries.find({"_id": {"$in": some}}, {"recency": 1, MARK: 1}):
                if MARK not in document:
                    found[document["_id"]] = document["recency"]
        return found


def due(live: Sequence[Live], largest: int) -> list[Live]:
    """Return segments of about one size that are to become one; none when all is well.

    Args:
        live: the segments that are there.
        largest: entries of a segment at most.
    """
    sizes: dict[int, list[Live]] = {}
    for segment in sorted(live, key=lambda segment: segment.size):
        sizes.setdefault(_level(segment.size), []).append(segment)
    for some in sizes.values():
        chosen: list[Live] = []
        total = 0
        for segment in some[:_FACTOR] if len(some) >= _FACTOR else []:
            total += segment.size
            if total > largest:
                break
            chosen.append(segment)
        if len(chosen) > 1:
            return chosen
    return []


def _level(size: int) -> int:
    level = 0
    while size >= ENOUGH * _FACTOR ** (level + 1):
        level += 1
    return level


def _parts(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(items), _FEW):
        yield items[first : first + _FEW]
