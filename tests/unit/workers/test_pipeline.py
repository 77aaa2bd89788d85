"""That steps are taken in their order, written down as they go, and end in time."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlhub.common.errors import BackendUnreachableError, MLHubError
from mlhub.common.model import Bundle, Model, ModelType, StepState, ValidationStep, Version, VersionState
from mlhub.storage.database import now
from mlhub.workers.deadline import Deadline, OverdueError
from mlhub.workers.validation.draft import Draft
from mlhub.workers.validation.job import LostError
from mlhub.workers.validation.pipeline import Pipeline


class Marking:
    """A step that adds its name to the card."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.work = name.capitalize()

    def take(self, draft: Draft, deadline: Deadline) -> Draft:
        deadline.check()
        return msgspec.structs.replace(draft, card=(draft.card or "") + self.name)


class Failing(Marking):
    def take(self, draft: Draft, deadline: Deadline) -> Draft:
        raise BackendUnreachableError("The server is away.")


class Notes:
    """Keeps what is written down."""

    def __init__(self) -> None:
        self.kept: list[tuple[ValidationStep, ...]] = []

    def __call__(self, steps: tuple[ValidationStep, ...]) -> None:
        self.kept.append(steps)

    def shown(self) -> list[list[tuple[str, str]]]:
        return [[(step.name, str(step.state)) for step in steps] for steps in self.kept]


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    time = now()
    common: dict[str, Any] = {"model": "m", "backend": "b", "created_at": time}
    version = Version(
        deployment="d", version="1", state=VersionState.VALIDATING, bundle=Bundle("ab" * 32, 1, "f"), **common
    )
    return Draft(version, Model(type=ModelType.SKLEARN, updated_at=time, **common), tmp_path)


def test_each_step_is_written_down_before_it_begins(draft: Draft) -> None:
    notes = Notes()
    done, taken = Pipeline([Marking("a"), Marking("b")], 60).run(draft, notes)
    assert done.card == "ab"
    assert notes.shown() == [[("a", "running")], [("a", "passed"), ("b", "running")]]
    assert [(step.name, step.state) for step in taken] == [("a", StepState.PASSED), ("b", StepState.PASSED)]
    assert all(step.seconds is not None for step in taken)


def test_the_step_that_fails_is_the_last_and_says_so(draft: Draft) -> None:
    notes = Notes()
    with pytest.raises(BackendUnreachableError):
        Pipeline([Marking("a"), Failing("b"), Marking("c")], 60).run(draft, notes)
    assert notes.shown()[-1] == [("a", "passed"), ("b", "failed")]


def test_a_step_without_time_left_ends_with_what_to_do(draft: Draft) -> None:
    with pytest.raises(OverdueError) as caught:
        Pipeline([Marking("unpacking")], 0).run(draft, Notes())
    assert caught.value.detail.startswith("Unpacking took longer than the 0 seconds")


def test_a_version_that_is_no_longer_this_jobs_is_left_alone(draft: Draft) -> None:
    def note(steps: tuple[ValidationStep, ...]) -> None:
        raise LostError("gone")

    with pytest.raises(MLHubError, match="gone"):
        Pipeline([Failing("never")], 60).run(draft, note)
