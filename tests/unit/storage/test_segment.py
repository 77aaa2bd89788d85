"""That a segment finds exactly the entries that have a term, also after it was cut, joined and kept."""

from collections.abc import Sequence

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlhub.storage import segment as module
from mlhub.storage.indexer import due
from mlhub.storage.keys import Keys
from mlhub.storage.segment import Block, Entry, Segment, Term, build, merge, segment_of
from mlhub.storage.segments import Live

TERMS = st.text("abß~:", min_size=1, max_size=4)
ENTRIES = st.lists(
    st.builds(
        Entry,
        name=st.text("abc0", min_size=1, max_size=5),
        recency=st.text("0123456789", min_size=3, max_size=3),
        terms=st.lists(TERMS, min_size=1, max_size=6, unique=True),
    ),
    min_size=1,
    max_size=40,
    unique_by=lambda entry: entry.name,
)


def found(segment: Segment, term: Term) -> set[str]:
    """Look a term up as a search does."""
    blocks = segment.blocks()
    head = segment.head(blocks)
    numbers = [number for place in head.blocks(term) for number in blocks[place].find(term).tolist()]
    assert len(set(numbers)) == len(numbers) or not term.whole
    return {head.names[number] for number in numbers}


def expected(entries: Sequence[Entry], term: Term) -> set[str]:
    return {
        entry.name
        for entry in entries
        if any(known == term.text if term.whole else known.startswith(term.text) for known in entry.terms)
    }


@given(ENTRIES, TERMS, st.booleans())
def test_a_term_finds_the_entries_that_have_it(entries: list[Entry], text: str, whole: bool) -> None:
    term = Term(text, whole)
    assert found(build(entries), term) == expected(entries, term)


@given(ENTRIES, ENTRIES, TERMS, st.booleans(), st.data())
def test_joined_segments_have_what_is_kept_of_each(
    first: list[Entry], second: list[Entry], text: str, whole: bool, data: st.DataObject
) -> None:
    names = {entry.name for entry in first}
    second = [entry for entry in second if entry.name not in names]
    some = [first, second] if second else [first]
    dropped = data.draw(st.sets(st.sampled_from([entry.name for entry in first + second])))
    segments = [build(entries) for entries in some]
    kept = [[name not in dropped for name in segment.names] for segment in segments]
    left = [entry for entry in first + second if entry.name not in dropped]
    if left:
        joined = merge(segments, kept)
        assert joined.names == sorted(entry.name for entry in left)
        assert dict(zip(joined.names, joined.recencies, strict=True)) == {
            entry.name: entry.recency for entry in left
        }
        term = Term(text, whole)
        assert found(joined, term) == expected(left, term)


def test_terms_of_many_blocks_are_found_and_put_together_again() -> None:
    entries = [
        Entry(f"m{number:05}", f"{number * 7919 % 5000:05}", [f"~w{number}", f"t{number % 2}", "all"])
        for number in range(5000)
    ]
    segment = build(entries)
    blocks = segment.blocks()
    assert len(blocks) > 3
    written = [msgspec.msgpack.encode(block) for block in blocks]
    read = [msgspec.msgpack.decode(block, type=Block) for block in written]
    for term in (Term("all", whole=True), Term("t1", whole=True), Term("~w12", whole=False)):
        assert found(segment, term) == expected(entries, term)
    again = segment_of(segment.head(blocks), read)
    assert (again.names, again.recencies, again.terms) == (segment.names, segment.recencies, segment.terms)
    assert np.array_equal(again.ends, segment.ends)
    assert np.array_equal(again.numbers, segment.numbers)


def test_numbers_fit_the_largest_segment() -> None:
    entries = [Entry(f"{number:05}", f"{number:05}", ["t"]) for number in range(module.LARGEST)]
    assert len(found(build(entries), Term("t", whole=True))) == module.LARGEST


@given(st.lists(st.text(max_size=5), max_size=20, unique=True), st.text(max_size=5))
def test_places_among_keys_are_those_of_a_sorted_list(texts: list[str], text: str) -> None:
    texts.sort()
    keys = Keys.decode(Keys.of(texts).encode())
    assert list(keys) == texts
    assert keys[1:3] == texts[1:3]
    assert keys.before(text) == sum(one < text for one in texts)
    assert keys.until(text) == sum(one <= text for one in texts)


def live(*sizes: int) -> list[Live]:
    return [Live(str(place), size, 1) for place, size in enumerate(sizes)]


def test_segments_of_one_size_become_one_when_they_are_eight() -> None:
    assert due(live(*[100] * 7, 1000), 5000) == []
    assert sorted(segment.size for segment in due(live(*range(100, 109), 1000), 5000)) == list(
        range(100, 108)
    )


def test_no_segment_becomes_larger_than_it_may() -> None:
    assert sum(segment.size for segment in due(live(*[1000] * 9), 5000)) == 5000
    assert due(live(*[3000] * 9), 5000) == []
    assert due(live(*[module.LARGEST] * 20), module.LARGEST) == []
