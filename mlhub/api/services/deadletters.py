"""Work that was given up: what it was, and trying it once more."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from mlhub.common import topology
from mlhub.common.deadletter import DeadLetter, Retried
from mlhub.common.errors import NotFoundError
from mlhub.common.prediction import group_of
from mlhub.storage.work import WorkStore


class Letters(Protocol):
    """The queue of dead letters."""

    def look(self, limit: int) -> list[DeadLetter]:
        """Return letters, which stay."""
        ...

    def send_back(
        self, identity: str | None, limit: int, is_wanted: Callable[[DeadLetter], bool]
    ) -> list[DeadLetter]:
        """Put the letter of that name, or all, back on the queues they came from; return those."""
        ...


class DeadLetterService:
    """What the calls on the queue of dead letters mean."""

    def __init__(self, letters: Letters, work: WorkStore) -> None:
        self._letters = letters
        self._work = work

    def look(self, limit: int) -> list[DeadLetter]:
        """Return up to `limit` dead letters, oldest first, with the predictions that failed for each."""
        return [
            msgspec.structs.replace(letter, predictions=tuple(self._work.given_up(_groups(letter))))
            for letter in self._letters.look(limit)
        ]

    def retry(self, identity: str | None, limit: int) -> Retried:
        """Try work once more that was given up; predictions that failed for it are open again.

        Args:
            identity: of the only letter that is meant; all, if not given.
            limit: how many letters at most are looked at.

        Raises:
            NotFoundError: there is no such letter.
            UnavailableError: the broker or the database is away; what is not done stays.
        """
        count = 0

        def is_wanted(letter: DeadLetter) -> bool:
            nonlocal count
            groups = _groups(letter)
            if not groups:
                return bool(letter.queue)
            revived, is_open = self._work.revive(groups)
            count += revived
            return is_open

        done = self._letters.send_back(identity, limit, is_wanted)
        if identity is not None and not done:
            raise NotFoundError(f"There is no dead letter {identity!r}.", code="dead_letter_not_found")
        return Retried(len(done), count)


def _groups(letter: DeadLetter) -> list[str]:
    if letter.task != topology.JOB_PREDICT:
        return []
    return list(dict.fromkeys(group_of(record) for record in letter.records))
