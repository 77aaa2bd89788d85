"""That citations can be read by what reads them, whatever the metadata holds."""

import re
import string
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlhub.api.citation import bibtex, cff, citation_of
from mlhub.common.model import Model, ModelType

TIME = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
PAGE = "http://hub.example/model/digits"
CFF_FIELDS = {
    "cff-version", "message", "type", "title", "authors", "date-released", "version", "doi", "url",
    "keywords", "abstract",
}  # fmt: skip


def model(**fields: Any) -> Model:
    values = {"model": "digits", "type": ModelType.SKLEARN, "backend": "b", "created_at": TIME} | fields
    return Model(**{"updated_at": TIME, **values})


def balanced(text: str) -> bool:
    depth = 0
    for brace in re.sub(r"\\[{}]", "", text):
        depth += (brace == "{") - (brace == "}")
        if depth < 0:
            return False
    return depth == 0


def test_both_forms_say_what_the_metadata_says() -> None:
    cited = citation_of(
        model(
            description="Reads digits.",
            reference="https://doi.org/10.5281/zenodo.1234",
            discipline="vision",
            tags=("digits",),
            version="2",
            meta={"authors": ["Ada Lovelace", "CERN"]},
        ),
        PAGE,
    )
    assert bibtex(cited) == (
        "@misc{digits,\n"
        "  title = {{digits}},\n"
        "  author = {{Ada Lovelace} and {CERN}},\n"
        "  year = {2026},\n"
        "  version = {2},\n"
        "  doi = {10.5281/zenodo.1234},\n"
        "  url = {https://doi.org/10.5281/zenodo.1234},\n"
        "  keywords = {vision, digits},\n"
        "  abstract = {Reads digits.},\n"
        "  howpublished = {ScikitLearn model},\n"
        "}\n"
    )
    assert yaml.safe_load(cff(cited)) == {
        "cff-version": "1.2.0",
        "message": "If you use this model, please cite it as below.",
        "type": "software",
        "title": "digits",
        "authors": [{"name": "Ada Lovelace"}, {"name": "CERN"}],
        "date-released": "2026-03-14",
        "version": "2",
        "doi": "10.5281/zenodo.1234",
        "url": "https://doi.org/10.5281/zenodo.1234",
        "keywords": ["vision", "digits"],
        "abstract": "Reads digits.",
    }


@pytest.mark.parametrize(
    ("reference", "doi", "address"),
    [
        ("10.1000/182", "10.1000/182", PAGE),
        ("doi:10.1000/182.", "10.1000/182", PAGE),
        ("DOI: 10.1103/PhysRevD.96.074034", "10.1103/PhysRevD.96.074034", PAGE),
        ("see https://dx.doi.org/10.1/x", None, "https://dx.doi.org/10.1/x"),
        ("https://arxiv.org/abs/1601.07913", None, "https://arxiv.org/abs/1601.07913"),
        ("a talk in May", None, PAGE),
        ("version 10.12/3", None, PAGE),
        ("", None, PAGE),
    ],
)
def test_dois_and_addresses_are_found_in_references(reference: str, doi: str | None, address: str) -> None:
    cited = citation_of(model(reference=reference), PAGE)
    assert (cited.doi, cited.address) == (doi, address)


@pytest.mark.parametrize("meta", [{"authors": 3}, {"authors": {"a": 1}}, {"author": [1, None]}, {}])
def test_metadata_without_usable_authors_gives_a_citation_all_the_same(meta: dict[str, Any]) -> None:
    cited = citation_of(model(meta=meta), PAGE)
    assert "author =" not in bibtex(cited)
    assert yaml.safe_load(cff(cited))["authors"] == [{"name": "Anonymous"}]


def test_what_tex_takes_for_commands_is_escaped() -> None:
    text = bibtex(citation_of(model(description=r"50% \input{/etc/passwd} & $x_1$ #~^"), PAGE))
    assert (
        r"50\% \textbackslash{}input\{/etc/passwd\} \& \$x\_1\$ \#\textasciitilde{}\textasciicircum{}" in text
    )


anything = st.text(max_size=60) | st.text(alphabet=string.punctuation + "\n\r\t\u2028 :", max_size=40)


@given(anything, anything, anything, st.lists(anything, max_size=3), anything)
def test_any_metadata_stays_within_its_fields(
    description: str, reference: str, discipline: str, tags: list[str], author: str
) -> None:
    cited = citation_of(
        model(
            description=description,
            reference=reference,
            discipline=discipline,
            tags=tuple(tags),
            meta={"author": author},
        ),
        PAGE,
    )
    text = bibtex(cited)
    assert balanced(text)
    assert all(re.fullmatch(r"  [a-z]+ = \{.*\},", line) for line in text.split("\n")[1:-2])
    found = yaml.safe_load(cff(cited))
    assert set(found) <= CFF_FIELDS
    assert all(isinstance(found[field], str) for field in ("title", "message", "date-released", "url"))
    assert re.fullmatch(r"10\.\d{4,9}(\.\d+)*/\S+", found.get("doi", "10.1000/1"))
    assert all(set(one) == {"name"} and one["name"] for one in found["authors"])
    assert len(set(found.get("keywords", []))) == len(found.get("keywords", []))
