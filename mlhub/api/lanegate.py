"""Which asynchronous predictions go on the queue at once, and which wait until it is their lane's turn.

As long as workers keep up with a lane, its work is announced as it comes. When they do not, it is only kept,
and the dispatcher of the job pools announces it piece by piece, in turn with other lanes.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from mlhub.storage.groups import moment_of

_LOOK: Final = 0.5
"""Seconds for which is trusted what was seen of a lane."""
_UNSEEN: Final = 8
"""Groups announced in a lane before another look at it."""
_LATE: Final = 0.5
"""Seconds since a group was given its name after which its lane may be past it: keeping it took long."""
_AHEAD: Final = 16
"""Unfinished groups in a lane beyond which further ones wait for their turn."""
_LANES: Final = 2000
"""Lanes that one process knows at a time."""


class Lanes(Protocol):
    """What is known of lanes by all processes."""

    def hold(self, name: str, backend: str, group: str) -> None:
        """Note that a group was held back in a lane."""

    def recall(self, name: str, backend: str, group: str) -> None:
        """Have a lane go back to a group, if it is past it."""

    def is_held(self, name: str) -> bool:
        """Tell whether work waits for its turn in a lane."""
        ...

    def unfinished(self, groups: Sequence[str]) -> int:
        """Count those of some groups that are not finished."""
        ...


class _Seen:
    """What one process knows of a lane."""

    __slots__ = ("at", "held", "noted", "recent", "unseen")

    def __init__(self) -> None:
        self.held = False
        self.at = float("-inf")
        """When that was seen."""
        self.noted = float("-inf")
        """When it was last noted that a group is held back."""
        self.unseen = 0
        self.recent: deque[str] = deque(maxlen=2 * _AHEAD)
        """Groups announced last."""


class LaneGate:
    """Decides for one process of the API."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    def admits(self, lane: str) -> bool:
        """Tell whether the next group of a lane is announced at once.

        Raises:
            UnavailableError: the database does not answer.
        """
        seen = self._of(lane)
        moment = time.monotonic()
        if seen.at < moment - _LOOK:
            seen.at = moment
            seen.held = self._lanes.is_held(lane)
        if not seen.held and seen.unseen >= _UNSEEN:
            seen.unseen = 0
            seen.held = self._lanes.unfinished(seen.recent) > _AHEAD
        return not seen.held

    def announced(self, lane: str, group: str) -> None:
        """Note that a group was kept that goes on the queue at once."""
        seen = self._of(lane)
        seen.unseen += 1
        seen.recent.append(group)

    def held_back(self, lane: str, backend: str, group: str) -> None:
        """Note that a group was kept that waits for its turn.

        Raises:
            UnavailableError: the database does not answer.
        """
        seen = self._of(lane)
        moment = time.monotonic()
        if (datetime.now(UTC) - moment_of(group)).total_seconds() > _LATE:
            self._lanes.recall(lane, backend, group)
        elif seen.noted < moment - _LOOK:
            # Afterwards, so that whoever sees the note sees the group.
            self._lanes.hold(lane, backend, group)
            seen.noted = moment

    def _of(self, lane: str) -> _Seen:
        """Return what is known of a lane; what was known of the one asked for longest ago is forgotten."""
        seen = self._seen.setdefault(lane, _Seen())
        self._seen.move_to_end(lane)
        if len(self._seen) > _LANES:
            self._seen.popitem(last=False)
        return seen
