"""Takes a version through the steps of validation, and writes down where it is."""

import time
from collections.abc import Callable, Sequence

import msgspec

from mlhub.common.errors import MLHubError
from mlhub.common.model import StepState, ValidationStep
from mlhub.workers.deadline import Deadline
from mlhub.workers.validation.draft import Draft
from mlhub.workers.validation.steps import Step

Note = Callable[[tuple[ValidationStep, ...]], None]
"""Writes the steps so far into the version's record; raises when the version is no longer this job's."""


class Pipeline:
    """The steps, in their order."""

    def __init__(self, steps: Sequence[Step], limit: float) -> None:
        """Take steps.

        Args:
            steps: in their order.
            limit: seconds that each may take.
        """
        self._steps = tuple(steps)
        self._limit = limit

    def run(self, draft: Draft, note: Note) -> tuple[Draft, tuple[ValidationStep, ...]]:
        """Take all steps; return what they found, and how long each took.

        Raises:
            MLHubError: what the first step raises that finds something wrong.
        """
        taken: tuple[ValidationStep, ...] = ()
        for step in self._steps:
            running = ValidationStep(step.name, StepState.RUNNING)
            note((*taken, running))
            started = time.monotonic()
            try:
                draft = step.take(draft, Deadline(self._limit, step.work))
            except MLHubError:
                note((*taken, _ended(running, StepState.FAILED, started)))
                raise
            taken = (*taken, _ended(running, StepState.PASSED, started))
        return draft, taken


def _ended(step: ValidationStep, state: StepState, started: float) -> ValidationStep:
    seconds = round(time.monotonic() - started, 3)
    return msgspec.structs.replace(step, state=state, seconds=seconds)
