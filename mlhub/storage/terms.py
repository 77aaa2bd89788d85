"""What an entry can be found by: words, folded so that case and accents do not matter, and its plain fields.

A database's index finds equal values quickly, and ranges of one field; it has no prefixes of words among
several conditions. So each entry keeps `terms`: a few prefixes of each of its words, and `field:value` for
each field that a list can be filtered by. Every condition of a list is then one term to look for, and what
the term leaves open (a prefix of another length) is checked on what it finds.
"""

import re
import unicodedata
from typing import Any, Final

import msgspec

from mlhub.common.model import Model, ModelState

_WORD: Final = re.compile(r"\w+")
_PREFIXES: Final = (2, 4, 7)
"""Lengths of prefixes that are kept: few, since each is an entry of an index."""
_MOST_WORDS: Final = 300
_MOST_TAGS: Final = 100
"""How many words and tags of an entry can be found."""
_LONGEST: Final = 200
"""Characters of a value that are in its term."""


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

    term: str | None
    """A term that all which meet it have; nothing for a word that is too short to have one."""
    field: str
    """Field of the document that tells for certain."""
    value: Any
    """What the field, or one of its elements, must equal or match."""
    exact: bool
    """Whether having the term is the same as meeting the condition."""


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


def terms_of(model: Model) -> list[str]:
    """Return the terms an entry can be found by."""
    terms = {_prefix(word, length) for word in words_of(model) for length in _PREFIXES if len(word) >= length}
    plain = {
        "type": model.type,
        "state": model.state,
        "owner": model.owner,
        "discipline": model.discipline,
        "reference": model.reference,
    }
    terms |= {_term(field, value) for field, value in plain.items() if value}
    terms |= {_term("tags", tag) for tag in model.tags[:_MOST_TAGS]}
    return sorted(terms)


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
        Condition(_term(field, value) if value else None, field, value, exact=0 < len(value) <= _LONGEST)
        for field, value in plain.items()
        if value is not None
    ]
    return found + [_beginning(word) for word in words(wanted.q)]


def _beginning(word: str) -> Condition:
    lengths = [length for length in _PREFIXES if length <= len(word)]
    term = _prefix(word, lengths[-1]) if lengths else None
    pattern = re.compile(f"^{re.escape(word)}")
    return Condition(term, "words", pattern, exact=len(word) in _PREFIXES)


def _prefix(word: str, length: int) -> str:
    return f"~{word[:length]}"


def _term(field: str, value: str) -> str:
    return f"{field}:{value[:_LONGEST]}"
