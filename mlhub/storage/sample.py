"""A small, even sample of all entries: how many there are, how often a term is met, where a list stands.

It decides only how a list is looked up, never what it holds; so it may be old.
"""

import zlib
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

RATE: Final = 64
"""One entry of so many is in the sample."""
_UNSEEN: Final = 0.5
"""How often a term that the sample does not have is taken to be in it."""


def in_sample(name: str) -> bool:
    """Tell whether an entry of this name belongs to the sample: chance, but the same one every time."""
    return zlib.crc32(name.encode()) % RATE == 0


class Sample:
    """What the sampled entries tell of all."""

    def __init__(self, documents: Iterable[Mapping[str, Any]], fields: Iterable[str]) -> None:
        """Look at the sample.

        Args:
            documents: the sampled ones, with `terms` and the fields that lists are sorted by.
            fields: the names of those fields.
        """
        found = list(documents)
        self._size = len(found)
        self._fences = {field: sorted(document[field] for document in found) for field in fields}
        self._counts = Counter(term for document in found for term in document["terms"])

    @property
    def total(self) -> float:
        """About how many entries there are."""
        return max(self._size, _UNSEEN) * RATE

    def count(self, term: str) -> float:
        """Tell about how many entries have a term."""
        return (self._counts[term] or _UNSEEN) * RATE

    def fence(self, field: str, start: str | None, entries: float, *, forward: bool) -> str | None:
        """Return a value of `field` about so many entries beyond `start`; nothing when that is the end."""
        fences = self._fences[field]
        steps = max(1, round(entries / RATE))
        if forward:
            place = (0 if start is None else bisect_right(fences, start)) + steps - 1
            return fences[place] if place < len(fences) else None
        place = (len(fences) if start is None else bisect_left(fences, start)) - steps
        return fences[place] if place >= 0 else None
