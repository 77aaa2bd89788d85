"""How a model is cited: BibTeX and the Citation File Format, from its metadata."""

import re
import unicodedata
from typing import Any, Final

import msgspec

from mlhub.common.model import Model

BIBTEX: Final = "application/x-bibtex"
CFF: Final = "application/yaml"

_DOI: Final = re.compile(r"(?:^|doi:\s*|doi\.org/)(10\.\d{4,9}(?:\.\d+)*/[^\s\"<>{}]+)", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"https?://[^\s\"<>{}|\\^`]+")
_SPECIAL: Final = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
"""What TeX takes for something else, and how it is written instead."""
_LONGEST: Final = 2000
"""Characters of a description that a citation repeats."""


class Citation(msgspec.Struct, frozen=True):
    """What a citation says."""

    name: str
    description: str
    authors: tuple[str, ...]
    version: str | None
    day: str
    """ISO 8601."""
    year: int
    keywords: tuple[str, ...]
    doi: str | None
    address: str | None
    """Where the model is published, or else the hub's own page of it."""
    framework: str
    reference: str
    """The metadata's own words, where they hold neither a DOI nor an address."""


def citation_of(model: Model, address: str) -> Citation:
    """Make the citation of a model, whose page on this hub is at `address`.

    Authors are what `meta` has under `authors` or `author`, as text or a list of texts, else the owner.
    """
    doi = _DOI.search(model.reference.strip())
    url = _ADDRESS.search(model.reference)
    given = model.meta.get("authors") or model.meta.get("author") or model.owner or ()
    authors = (given,) if isinstance(given, str) else given
    known = (plain(author) for author in authors if isinstance(author, str)) if _is_list(authors) else ()
    keywords = (plain(word) for word in (model.discipline, *model.tags))
    return Citation(
        name=model.model,
        description=plain(model.description)[:_LONGEST],
        authors=tuple(author for author in known if author),
        version=model.version,
        day=model.updated_at.date().isoformat(),
        year=model.updated_at.year,
        keywords=tuple(dict.fromkeys(word for word in keywords if word)),
        doi=doi[1].rstrip(".,;)") if doi else None,
        address=url[0].rstrip(".,;)") if url else address,
        framework=model.type,
        reference=plain(model.reference) if doi is None and url is None else "",
    )


def plain(text: str) -> str:
    """Make one line of a text, without characters that neither format can hold."""
    line = " ".join(text.split())
    return "".join(character for character in line if unicodedata.category(character) not in {"Cc", "Cs"})


def bibtex(cited: Citation) -> str:
    """Write the citation as a BibTeX entry."""
    fields = {
        "title": "{" + _tex(cited.name) + "}",
        "author": " and ".join("{" + _tex(author) + "}" for author in cited.authors),
        "year": str(cited.year),
        "version": _tex(cited.version or ""),
        "doi": _tex(cited.doi or ""),
        # An address is not typeset as text: only braces would end it early, and it has none.
        "url": cited.address or "",
        "keywords": ", ".join(_tex(word) for word in cited.keywords),
        "abstract": _tex(cited.description),
        "howpublished": _tex(f"{cited.framework} model"),
        "note": _tex(cited.reference),
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    # A key may hold no comma and no space; names of models have neither.
    return "\n".join([f"@misc{{{cited.name},", *lines, "}"]) + "\n"


def cff(cited: Citation) -> str:
    """Write the citation in the Citation File Format 1.2.0, which is YAML.

    Every text is written as JSON, which YAML reads as it is; so none can be taken for anything else.
    """
    fields: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use this model, please cite it as below.",
        "type": "software",
        "title": cited.name,
        "authors": [{"name": author} for author in cited.authors] or [{"name": "Anonymous"}],
        "date-released": cited.day,
        "version": cited.version,
        "doi": cited.doi,
        "url": cited.address,
        "keywords": list(cited.keywords),
        "abstract": " ".join(part for part in (cited.description, cited.reference) if part),
    }
    return "".join(f"{name}: {_yaml(value)}\n" for name, value in fields.items() if value)


def _yaml(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _tex(text: str) -> str:
    return "".join(_SPECIAL.get(character, character) for character in text)


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple))
