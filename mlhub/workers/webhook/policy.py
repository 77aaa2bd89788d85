"""How often a webhook is called, and with what pauses: the one policy of all of them."""

import random
from datetime import timedelta
from http import HTTPStatus
from typing import Final

import msgspec

_GROWTH: Final = 4
_LONGEST: Final = 6 * 3600.0
"""Seconds of the longest pause."""
_SPREAD: Final = 0.1
"""Part by which pauses differ, so that what failed together does not come back together."""


class Outcome(msgspec.Struct, frozen=True):
    """How one call went."""

    status: int | None = None
    """What was answered; nothing when there was no answer."""
    error: str | None = None
    """Why it counts as failed, in one sentence."""
    hopeless: bool = False
    """Whether another call would end in the same way."""
    wait: float = 0.0
    """Seconds that the receiver asks to be left alone."""


def judged(status: int, wait: float) -> Outcome:
    """Tell what an answer means: any success is one, and 410 means that nothing more is wanted."""
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Outcome(status)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return Outcome(status, "Its answer points elsewhere, which is not followed: give the address itself.")
    return Outcome(status, "Its answer is not a success.", hopeless=status == HTTPStatus.GONE, wait=wait)


class DeliveryPolicy(msgspec.Struct, frozen=True):
    """Decides whether a webhook is called again, and when."""

    limit: int
    """How often it is called at most."""
    pause: float
    """Seconds after the first call; after each further one, several times as many."""

    def again(self, attempts: int, outcome: Outcome) -> timedelta | None:
        """Return the pause before the next call when the `attempts`-th went like this; nothing ends it."""
        if outcome.error is None or outcome.hopeless or attempts >= self.limit:
            return None
        grown = min(self.pause * _GROWTH ** min(attempts - 1, 20), _LONGEST)
        spread = grown * random.uniform(1 - _SPREAD, 1 + _SPREAD)  # noqa: S311 (guards nothing)
        return timedelta(seconds=max(spread, min(outcome.wait, _LONGEST)))

    def exhausted(self, attempts: int) -> bool:
        """Tell whether a call was begun more often than it may be: the workers died in it."""
        return attempts > self.limit
