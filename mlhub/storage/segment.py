"""A segment of the search index: some entries, in both orders of lists, and which of them have a term.

A segment never changes. Its entries are numbered in the order of their names; a term's entries are a run of
such numbers. Terms stand in order, so those of all words with one beginning are one run as well. Terms and
runs are cut into blocks, small enough that a search reads little besides what it looks for.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import Final

import msgspec
import numpy as np

from mlhub.storage.keys import Keys

LARGEST: Final = 1 << 16
"""Entries of a segment at most: their numbers have 16 bits."""
_BLOCK: Final = 1 << 14
"""Bytes after which a block ends; a term is in one block, so that of a frequent one is longer."""
_LAST: Final = "\U0010ffff"
"""Comes after all characters that words have."""


class Entry(msgspec.Struct, frozen=True):
    """What a segment keeps of an entry."""

    name: str
    recency: str
    """Its place in the order of time."""
    terms: list[str]


class Term(msgspec.Struct, frozen=True):
    """What to look up."""

    text: str
    whole: bool
    """Whether the term itself is meant, or all that begin with it."""

    @property
    def end(self) -> str:
        """A text that comes after all that is meant, and before all else."""
        return f"{self.text}\0" if self.whole else f"{self.text}{_LAST}"


class Block(msgspec.Struct, frozen=True, array_like=True):
    """Some terms, in order, and the numbers of their entries."""

    terms: list[str]
    ends: bytes
    """Where the run of each term ends, 32-bit numbers."""
    numbers: bytes
    """The runs, 16-bit numbers."""

    def find(self, term: Term) -> np.ndarray:
        """Return the numbers of entries that have a term, in runs."""
        ends = np.frombuffer(self.ends, np.uint32)
        first, last = bisect_left(self.terms, term.text), bisect_left(self.terms, term.end)
        start, end = (int(ends[place - 1]) if place else 0 for place in (first, last))
        return np.frombuffer(self.numbers, np.uint16)[start:end]


class Head(msgspec.Struct, frozen=True):
    """What a search holds of a segment in memory."""

    names: Keys
    """Names, in order: the number of an entry is its place here."""
    recencies: Keys
    """The values of the field `recency`, in order."""
    by_recency: np.ndarray
    """Numbers of the entries in the order of `recencies`, [n] of 16 bits."""
    firsts: list[str]
    """The first term of each block."""

    def blocks(self, term: Term) -> range:
        """Return the numbers of the blocks that may have a term."""
        first = bisect_right(self.firsts, term.text) - 1
        return range(max(first, 0), bisect_left(self.firsts, term.end))


class Segment(msgspec.Struct, frozen=True):
    """A whole segment."""

    names: list[str]
    recencies: list[str]
    """The value of `recency` of each entry, in the order of names."""
    terms: list[str]
    """All terms, in order."""
    ends: np.ndarray
    """Where the run of each term ends, [terms] of 32 bits."""
    numbers: np.ndarray
    """The runs, of 16 bits."""

    def blocks(self) -> list[Block]:
        """Cut terms and runs into blocks."""
        lengths = np.fromiter(map(len, self.terms), np.int64, len(self.terms))
        sizes = np.cumsum(lengths) + 2 * self.ends.astype(np.int64)
        # A term belongs to the block that its first byte is in.
        block = np.concatenate(([0], sizes[:-1])) // _BLOCK
        cuts = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), len(self.terms)]
        made = []
        for first, last in pairwise(cuts):
            start = int(self.ends[first - 1]) if first else 0
            ends = self.ends[first:last]
            made.append(
                Block(
                    self.terms[first:last],
                    (ends - np.uint32(start)).tobytes(),
                    self.numbers[start : int(ends[-1])].tobytes(),
                )
            )
        return made

    def head(self, blocks: Iterable[Block]) -> Head:
        """Return what a search holds in memory.

        Args:
            blocks: its terms, cut.
        """
        order = sorted(range(len(self.names)), key=self.recencies.__getitem__)
        return Head(
            Keys.of(self.names),
            Keys.of([self.recencies[number] for number in order]),
            np.array(order, np.uint16),
            [block.terms[0] for block in blocks],
        )


def segment_of(head: Head, blocks: Sequence[Block]) -> Segment:
    """Put a segment together again."""
    recencies = [""] * len(head.names)
    for number, recency in zip(head.by_recency.tolist(), head.recencies, strict=True):
        recencies[number] = recency
    starts = np.cumsum([0, *(len(block.numbers) // 2 for block in blocks)])
    ends = [
        np.frombuffer(block.ends, np.uint32) + np.uint32(start)
        for block, start in zip(blocks, starts[:-1].tolist(), strict=True)
    ]
    return Segment(
        list(head.names),
        recencies,
        [term for block in blocks for term in block.terms],
        np.concatenate(ends),
        np.frombuffer(b"".join(block.numbers for block in blocks), np.uint16),
    )


def build(entries: Iterable[Entry]) -> Segment:
    """Make a segment of entries of different names, at most `LARGEST`."""
    ordered = sorted(entries, key=lambda entry: entry.name)
    terms = list(chain.from_iterable(entry.terms for entry in ordered))
    counts = [len(entry.terms) for entry in ordered]
    numbers = np.repeat(np.arange(len(ordered), dtype=np.int64), counts)
    return _assembled(
        [entry.name for entry in ordered], [entry.recency for entry in ordered], [(terms, numbers, None)]
    )


def merge(segments: Sequence[Segment], kept: Sequence[Sequence[bool]]) -> Segment:
    """Make one segment of several.

    Args:
        segments: the segments.
        kept: which of each segment's entries to keep; together they have different names, and are at most
            `LARGEST`.
    """
    chosen = sorted(
        (name, place, number)
        for place, (segment, keep) in enumerate(zip(segments, kept, strict=True))
        for number, (name, wanted) in enumerate(zip(segment.names, keep, strict=True))
        if wanted
    )
    renumbered = [np.full(len(segment.names), -1, np.int64) for segment in segments]
    for number, (_, place, old) in enumerate(chosen):
        renumbered[place][old] = number
    runs = []
    for segment, new in zip(segments, renumbered, strict=True):
        lengths = np.diff(segment.ends.astype(np.int64), prepend=0)
        runs.append((segment.terms, new[segment.numbers], lengths))
    recencies = [segments[place].recencies[old] for _, place, old in chosen]
    return _assembled([name for name, _, _ in chosen], recencies, runs)


_Run = tuple[list[str], np.ndarray, np.ndarray | None]
"""Terms; numbers of entries that have them, or -1; how many numbers each term has, when not one."""


def _assembled(names: list[str], recencies: list[str], runs: Sequence[_Run]) -> Segment:
    distinct = sorted({term for terms, _, _ in runs for term in terms})
    places = {term: place for place, term in enumerate(distinct)}
    pairs = []
    for terms, numbers, lengths in runs:
        place = np.fromiter(map(places.__getitem__, terms), np.int64, len(terms))
        each = place if lengths is None else np.repeat(place, lengths)
        # A term and an entry as one number, since one sort orders runs and what is in them.
        pairs.append(((each << 16) | numbers)[numbers >= 0])
    ordered = np.unique(np.concatenate(pairs))
    counts = np.bincount(ordered >> 16, minlength=len(distinct))
    used = counts > 0
    return Segment(
        names,
        recencies,
        [term for term, use in zip(distinct, used.tolist(), strict=True) if use],
        np.cumsum(counts[used]).astype(np.uint32),
        (ordered & 0xFFFF).astype(np.uint16),
    )
