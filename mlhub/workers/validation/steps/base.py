"""What every step of validation can do."""

from typing import Protocol

from mlhub.workers.deadline import Deadline
from mlhub.workers.validation.draft import Draft


class Step(Protocol):
    """One look at a version; thread-safe, and harmless when it is taken again."""

    @property
    def name(self) -> str:
        """Its name in the version's record, one word."""
        ...

    @property
    def work(self) -> str:
        """What it does, as the beginning of a sentence: `Unpacking the bundle`."""
        ...

    def take(self, draft: Draft, deadline: Deadline) -> Draft:
        """Return the draft with what the step found.

        Raises:
            UnacceptableError: the version is no good; the sentence says what to do.
            OverdueError: the step took too long.
            BackendError: the model server failed.
            UnavailableError: a part of the hub is away.
        """
        ...
