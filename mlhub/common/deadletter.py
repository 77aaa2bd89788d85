"""Dead letters: messages of work that was given up."""

from datetime import datetime

import msgspec


class GivenUp(msgspec.Struct, frozen=True):
    """A prediction that a dead letter is about."""

    id: str
    error: str | None
    """Why it failed."""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that nobody works off any more."""

    id: str
    """The message's own name."""
    task: str
    """What was to be done."""
    queue: str
    """Where it came from, and goes when it is tried once more."""
    records: tuple[str, ...]
    """What was to be worked on: groups of predictions, a deployment, a turn of a bulk prediction."""
    reason: str
    """`rejected` by a worker that gave it up, or `delivery_limit` when it killed worker after worker."""
    died_at: datetime | None
    """When it was given up."""
    predictions: tuple[GivenUp, ...] = ()
    """Those that failed for it, and may be tried once more."""


class Retried(msgspec.Struct, frozen=True):
    """What trying once more did."""

    messages: int
    """Dead letters that went back to their queues, or had nothing left to be done."""
    predictions: int
    """Predictions that are to be done again."""
