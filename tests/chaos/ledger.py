"""What the clients of the chaos suite asked for, and what they got."""

import threading
import time
from collections.abc import Callable

import msgspec


class Call(msgspec.Struct, frozen=True):
    """One call, and how it ended."""

    kind: str
    """`predict`, `submit`, `bulk`, `upload` or `read`."""
    began: float
    ended: float
    status: int | None
    """What was answered; nothing when the connection broke."""
    ok: bool
    wrong: bool = False
    """Whether a success brought what the model does not say."""
    detail: str = ""
    """What was wrong."""
    comes_back: bool = False
    """Whether it says when to try again."""


class Accepted(msgspec.Struct, frozen=True):
    """Work that the hub said it would do."""

    kind: str
    place: str
    """Where it is found."""
    first: int
    """The number of its first row."""
    at: float
    called: bool = False
    """Whether a webhook was asked for."""


class Ledger:
    """All calls and all accepted work, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._accepted: list[Accepted] = []

    def note(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)

    def accept(self, work: Accepted) -> None:
        with self._lock:
            self._accepted.append(work)

    def calls(self, since: float = 0.0) -> list[Call]:
        """Return the calls that ended after some time."""
        with self._lock:
            return [call for call in self._calls if call.ended >= since]

    def accepted(self) -> list[Accepted]:
        with self._lock:
            return list(self._accepted)

    def settled(self, since: float, kinds: tuple[str, ...], calm: float) -> float | None:
        """Return when the last trouble since some time was over, if it is.

        It is when each kind of call that began since then has succeeded, and none has failed for `calm` seconds.
        """
        calls = self.calls(since)
        firsts = [
            min(
                (call.ended for call in calls if call.kind == kind and call.ok and call.began >= since),
                default=0.0,
            )
            for kind in kinds
        ]
        if not all(firsts):
            return None
        failed = max((call.ended for call in calls if not call.ok and call.kind in kinds), default=0.0)
        after = [
            any(call.ok and call.began >= failed for call in calls if call.kind == kind) for kind in kinds
        ]
        if not all(after) or time.monotonic() - failed < calm:
            return None
        return max(failed, *firsts)


def wait_until(holds: Callable[[], bool], seconds: float) -> bool:
    """Wait until something holds; tell whether it came to that in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
