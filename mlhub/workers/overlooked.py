"""Held back predictions that no lane leads to any more.

Their process may have died between keeping them and noting that their lane is held; or a database that stood
still kept them long after they got their names, when the lane had gone past these. Names tell when they were
given, so each group is looked at once, some time after that.
"""

from collections.abc import Sequence
from typing import Final

from mlhub.storage.groups import time_of
from mlhub.storage.lanes import Lane, LaneStore
from mlhub.storage.work import WorkStore

_AGE: Final = 30.0
"""Seconds after which a group is looked at: longer than whoever keeps it waits for the database."""
_STRETCH: Final = 5.0
_GROWTH: Final = 4.0
_LONGEST: Final = 3600.0
"""Seconds of names that are looked at in one go: at first, times as many after a look that found nothing held
back, as in the time of a hub that was down, and at most."""
_NOTED: Final = 10.0
"""Seconds of names after which it is noted how far they were looked at."""
_FIRST: Final = 600.0
"""Seconds of names that are looked at where nothing is noted."""


class Overlooked:
    """Looks for them, for one process at a time."""

    def __init__(self, work: WorkStore, lanes: LaneStore) -> None:
        self._work = work
        self._lanes = lanes
        self._until = ""
        """Name below which all were looked at, by this process or by others before."""
        self._noted = ""
        self._span = _STRETCH

    def forget(self) -> None:
        """Learn anew how far others came: they act now."""
        self._until = self._noted = ""

    def find(self, lanes: Sequence[Lane]) -> int:
        """Have lanes lead to what was overlooked; return how many groups that were.

        Args:
            lanes: all that are held.

        Raises:
            UnavailableError: the database is away.
        """
        if not self._until:
            self._until = self._noted = self._lanes.looked_until() or time_of("", -_FIRST)
        upper = min(time_of("", -_AGE), time_of(self._until, self._span))
        if upper <= self._until:
            return 0
        cursors = {lane.name: lane.cursor for lane in lanes}
        count = 0
        found = self._work.held_back(self._until, upper)
        self._span = _STRETCH if found else min(self._span * _GROWTH, _LONGEST)
        for group in found:
            cursor = cursors.get(group.lane)
            if cursor is None or group.id < cursor:
                self._lanes.recall(group.lane, group.backend, group.id)
                cursors[group.lane] = group.id
                count += 1
        self._until = upper
        if upper >= time_of(self._noted, _NOTED):
            self._lanes.note_looked(upper)
            self._noted = upper
        return count
