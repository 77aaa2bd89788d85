"""What an entry can be found by: words, folded so that case and accents do not matter, and its plain fields.

Each word of an entry is a term of the search index, `~word`, and so is each field that a list can be
filtered by, `field:value`. A wanted word stands for all terms that begin with it.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from mlhub.common.model import Model, ModelState
from mlhub.storage.segment import Term

_WORD: Final = re.compile(r"\w+")
_MOST_WORDS: Final = 300
_MOST_TAGS: Final = 100
"""How many words and tags of an entry can be found."""
_LONGEST: Final = 200
"""Characters of a value that are in its term."""
_FIELDS: Final = ("type", "state", "owner", "discipline", "reference")
"""Fields of one value, that a list can be filtered by."""
TERM_FIELDS: Final = (*_FIELDS, "tags", "words")
"""Fields of an entry's document that its terms are made of."""


class ModelFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries to list; what is not given does not matter."""

    q: str = ""
    """Words that must all begin a word of name, description, tags or discipline."""
    type: str | None = None
    discipline: str | None = None
    owner: str | None = None
    tag: str | None = None
    state: ModelState | None = None
    reference: str | None = None


class Condition(msgspec.Struct, frozen=True):
    """One thing that entries of a list must meet."""

    term: Term
    """What all entries that meet it have in the index."""
    field: str
    """Field of the document that tells for certain."""
    value: Any
    """What the field, or one of its elements, must equal or match."""


def words(text: str) -> list[str]:
    """Split a text into its words, folded, each once, in their order."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    folded = "".join(character for character in plain if not unicodedata.combining(character))
    return list(dict.fromkeys(_WORD.findall(folded)))


def words_of(model: Model) -> list[str]:
    """Return the words an entry can be found by."""
    text = " ".join((model.model, model.discipline, *model.tags, model.description))
    # A name is also found by its parts, which underscores make one word.
    return words(f"{text} {model.model.replace('_', ' ')}")[:_MOST_WORDS]


def terms_of(document: Mapping[str, Any]) -> list[str]:
    """Return the terms an entry can be found by.

    Args:
        document: the entry's document, of which `TERM_FIELDS` will do.
    """
    terms = [_term(field, document[field]) for field in _FIELDS if document[field] is not None]
    terms += {_term("tags", tag) for tag in document["tags"][:_MOST_TAGS]}
    # Long words may be the same when cut.
    return terms + list({_beginning(word) for word in document["words"]})


def conditions(wanted: ModelFilter) -> list[Condition]:
    """Return what entries must meet to be wanted."""
    plain = {
        "type": wanted.type,
        "state": wanted.state,
        "owner": wanted.owner,
        "discipline": wanted.discipline,
        "reference": wanted.reference,
        "tags": wanted.tag,
    }
    found = [
        Condition(Term(_term(field, value), whole=True), field, value)
        for field, value in plain.items()
        if value is not None
    ]
    return found + [
        Condition(Term(_beginning(word), whole=False), "words", re.compile(f"^{re.escape(word)}"))
        for word in words(wanted.q)
    ]


def checks(wanted: Iterable[Condition]) -> dict[str, Any]:
    """Return conditions as the database checks them on a document."""
    values: dict[str, list[Any]] = {}
    for item in wanted:
        values.setdefault(item.field, []).append(item.value)
    return {field: some[0] if len(some) == 1 else {"$all": some} for field, some in values.items()}


def _beginning(word: str) -> str:
    return f"~{word[:_LONGEST]}"


def _term(field: str, value: str) -> str:
    return f"{field}:{value[:_LONGEST]}"
