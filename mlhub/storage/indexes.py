"""Indexes, made when the database is first there, and kept in shape from then on."""

from collections.abc import Callable, Iterable
from typing import Final

from mlhub.common.rounds import Pauses, Rounds

_RETRY: Final = 1.0
"""Seconds between two tries, until the database is there: no start depends on an order."""


def indexing(creators: Iterable[Callable[[], None]], upkeep: Callable[[], object], interval: float) -> Rounds:
    """Return what makes the indexes, and keeps them in shape.

    Args:
        creators: make indexes; each is called until it has done so.
        upkeep: keeps them in shape.
        interval: seconds between two calls of `upkeep`.
    """
    left = list(creators)

    def work() -> None:
        while left:
            left[0]()
            del left[0]
        upkeep()

    return Rounds("indexing", work, Pauses(interval, retry=_RETRY))
