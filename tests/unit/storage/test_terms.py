"""What entries are found by, and that any metadata survives being kept."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mlhub.common.model import Model, ModelType
from mlhub.storage.models import document_of
from mlhub.storage.segment import Entry, Term, build
from mlhub.storage.terms import ModelFilter, conditions, terms_of, words, words_of

TIME = datetime(2026, 3, 14, 9, 26, 53, 589000, tzinfo=UTC)


def model(**fields: Any) -> Model:
    given = {"model": "m", "type": ModelType.KERAS, "backend": "b", "created_at": TIME, "updated_at": TIME}
    return Model(**given | fields)


def has(entry: Model, term: Term) -> bool:
    (block,) = build([Entry("m", "r", terms_of(document_of(entry)))]).blocks()
    return block.find(term).size > 0


def test_words_are_folded_so_that_case_and_accents_do_not_matter() -> None:
    assert words("Größe Straße CAFÉ ﬁt Ünï-code_x 3.5") == [
        "grosse", "strasse", "cafe", "fit", "uni", "code_x", "3", "5",
    ]  # fmt: skip


def test_the_parts_of_a_name_are_words_too() -> None:
    assert {"hadron_net", "hadron", "net"} <= set(words_of(model(model="hadron_net")))


@given(st.text(max_size=40), st.text(max_size=20), st.lists(st.text(max_size=9), max_size=3), st.data())
def test_every_beginning_of_every_word_finds_its_entry(
    description: str, discipline: str, tags: list[str], data: st.DataObject
) -> None:
    entry = model(description=description, discipline=discipline, tags=tuple(tags))
    known = words_of(entry)
    word = data.draw(st.sampled_from(known))
    length = data.draw(st.integers(min_value=1, max_value=len(word)))
    for condition in conditions(ModelFilter(q=word[:length])):
        assert has(entry, condition.term)
        assert any(condition.value.match(one) for one in known)


@given(st.text(min_size=1, max_size=300))
def test_a_filter_by_what_an_entry_has_finds_it(value: str) -> None:
    entry = model(discipline=value, reference=value, owner=value, tags=(value,))
    wanted = ModelFilter(discipline=value, reference=value, owner=value, tag=value, type=entry.type)
    for condition in conditions(wanted):
        assert has(entry, condition.term)


@given(st.text(max_size=60))
def test_any_search_text_is_one(text: str) -> None:
    assert len(conditions(ModelFilter(q=text))) == len(words(text))


@given(st.integers(min_value=0, max_value=10**9))
def test_the_order_of_recency_is_that_of_time(seconds: int) -> None:
    earlier = document_of(model(model="z"))["recency"]
    later = document_of(model(updated_at=datetime.fromtimestamp(TIME.timestamp() + seconds + 1, UTC)))
    assert earlier < later["recency"]
