"""What versions add up to, and which names there may be."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlhub.common import names
from mlhub.common.errors import UnacceptableError
from mlhub.common.model import (
    TRANSITIONS,
    Bundle,
    ModelState,
    ModelType,
    Version,
    VersionState,
    summarise,
)
from mlhub.common.prediction import ENDED, PredictionStatus
from mlhub.common.prediction import TRANSITIONS as PREDICTION_TRANSITIONS


def version(name: str, state: VersionState) -> Version:
    return Version(
        deployment=f"{name}-x",
        model="m",
        version=name,
        backend="b",
        state=state,
        bundle=Bundle("", 0, ""),
        created_at=datetime.now(UTC),
    )


READY, FAILED, VALIDATING = VersionState.READY, VersionState.FAILED, VersionState.VALIDATING


@pytest.mark.parametrize(
    ("states", "pinned", "expected"),
    [
        ([], None, (ModelState.EMPTY, None)),
        ([VALIDATING], None, (ModelState.VALIDATING, None)),
        ([FAILED], None, (ModelState.FAILED, None)),
        ([READY, READY], None, (ModelState.READY, "2")),
        ([READY, FAILED], None, (ModelState.READY, "1")),
        ([READY, VALIDATING], "1", (ModelState.READY, "1")),
        ([READY, READY], "1", (ModelState.READY, "1")),
        ([FAILED, READY], "1", (ModelState.READY, "2")),
    ],
)
def test_the_summary_follows_from_the_versions(
    states: list[VersionState], pinned: str | None, expected: tuple[ModelState, str | None]
) -> None:
    newest_first = [version(str(number), state) for number, state in enumerate(states, 1)][::-1]
    assert summarise(newest_first, pinned) == expected


def test_every_state_has_its_legal_changes() -> None:
    assert set(TRANSITIONS) == set(VersionState)
    assert set(PREDICTION_TRANSITIONS) == set(PredictionStatus)
    assert {PredictionStatus.SUCCEEDED, PredictionStatus.FAILED, PredictionStatus.CANCELED} == ENDED


@pytest.mark.parametrize("text", ["tensorflow", "TENSORFLOW", "TensorFlow"])
def test_types_are_found_in_any_case(text: str) -> None:
    assert ModelType.parse(text) is ModelType.TENSORFLOW


def test_unknown_types_are_refused_with_those_there_are() -> None:
    with pytest.raises(UnacceptableError, match="ScikitLearn"):
        ModelType.parse("Fortran")


@given(st.text())
def test_names_never_lead_out_of_a_folder(name: str) -> None:
    try:
        checked = names.check_model(name)
    except UnacceptableError:
        return
    assert "/" not in checked
    assert not checked.startswith(".")
    assert checked.isascii()
    assert checked.isprintable()


def test_latest_names_no_version() -> None:
    with pytest.raises(UnacceptableError):
        names.check_version("latest")
