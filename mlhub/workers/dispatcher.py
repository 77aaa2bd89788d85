"""The dispatcher: puts asynchronous predictions on the queues whose turn it is, or that nobody works on.

A record is kept before its message is sent, so a broker that loses messages, or a process that dies in
between, loses no work. Of lanes that are long only as much is on a queue as workers take up in a moment, from
each in turn; so work that comes in another lane waits for no more than that. The dispatcher may run in many
processes: one of them acts.
"""

import logging
import secrets
import time
from collections import deque
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

import msgspec

from mlhub.common import topology
from mlhub.storage.database import now
from mlhub.storage.groups import Group, time_of
from mlhub.storage.lanes import Lane, LaneStore
from mlhub.storage.leases import LeaseStore
from mlhub.storage.work import WorkStore
from mlhub.workers.attempts import AttemptPolicy
from mlhub.workers.overlooked import Overlooked
from mlhub.workers.sweeper import Publish, Waiting

_LOG = logging.getLogger(__name__)

_TASK: Final = "dispatch"
_DUE: Final = 1.0
"""Seconds between two looks at what is due, and at lanes while there is none."""
_FEWEST: Final = 2
_MOST: Final = 8
"""Messages of long lanes that are to be on a queue: as many as are taken from it, but so many."""
_LATE: Final = 60.0
"""Seconds between two looks for what waits for its turn for too long."""
_SETTLED: Final = 1.0
"""Seconds in which those are kept for certain that were given their names."""
_QUIET: Final = timedelta(seconds=3)
"""Time after which a lane is over from which nothing was held back."""
_MESSAGE: Final = 256
"""Predictions that one message names, unless they are one group."""
_GROUPS: Final = 8
"""Groups that one names: the database pays for each, and whoever else wants it waits meanwhile."""
_LOST_FOR_CERTAIN: Final = timedelta(minutes=5)
"""Time after which a message that no worker took up counts as lost though its queue is not empty."""


class Way(NamedTuple):
    """A queue that each backend has."""

    publish: Publish
    """Sends a message."""
    waiting: Waiting
    """Tells how many there are."""


class Dispatcher:
    """Looks after the work of all backends."""

    def __init__(
        self,
        work: WorkStore,
        lanes: LaneStore,
        leases: LeaseStore,
        jobs: Way,
        backlog: Way,
        policy: AttemptPolicy,
        deadline: timedelta,
    ) -> None:
        """Remember what is needed.

        Args:
            work: the predictions.
            lanes: which of them wait for their turn.
            leases: by which one process acts.
            jobs: where work is that workers begin as it comes.
            backlog: where that of long lanes is.
            policy: how long another process waits for this one.
            deadline: time after which work that has not ended fails.
        """
        self._work = work
        self._lanes = lanes
        self._leases = leases
        self._jobs = jobs
        self._backlog = backlog
        self._lease = policy.lease
        self._deadline = deadline
        self._overlooked = Overlooked(work, lanes)
        self._left: dict[str, int] = {}
        """Messages that were on a queue after the last look."""
        self._turn = 0
        self._due_at = self._late_at = float("-inf")
        self._leased_until = float("-inf")
        self._holder = secrets.token_hex(8)

    def dispatch(self) -> int:
        """Publish what is due, if no other process does; return how many groups of predictions that were.

        Raises:
            UnavailableError: the database or the broker is away.
        """
        moment = time.monotonic()
        if moment > self._leased_until:
            if not self._leases.take(_TASK, self._holder, self._lease):
                self._left.clear()
                self._overlooked.forget()
                return 0
            self._leased_until = moment + self._lease.total_seconds() / 3
        count = 0
        lanes = self._lanes.held()
        if moment > self._due_at:
            self._due_at = moment + _DUE
            count += self._take_up_due({lane.name for lane in lanes})
            if found := self._overlooked.find(lanes):
                _LOG.info("%d groups of predictions that no lane led to have their turn again", found)
                lanes = self._lanes.held()
        if moment > self._late_at:
            self._late_at = moment + _LATE
            for lane in lanes:
                self._end_late(lane)
        count += self._serve_lanes(lanes)
        if count:
            _LOG.debug("%d groups of predictions were put on their queues", count)
        return count

    def give_back(self) -> None:
        """Leave it to another process.

        Raises:
            UnavailableError: the database is away; it learns of it when the lease ends.
        """
        self._leases.give_back(_TASK, self._holder)

    def _take_up_due(self, long: Collection[str]) -> int:
        """Publish what is due; what is of a long lane goes where the rest of that is."""
        alike: dict[tuple[str, bool], list[Group]] = {}
        for group in self._in_time(self._work.due()):
            alike.setdefault((group.backend, group.lane in long), []).append(group)
        return sum(
            self._take_up(backend, groups, self._backlog if is_long else self._jobs)
            for (backend, is_long), groups in alike.items()
        )

    def _in_time(self, groups: Sequence[Group]) -> list[Group]:
        """Return those that have time left; others fail."""
        before = now() - self._deadline
        late = [group for group in groups if group.predictions[0].created_at < before]
        if late:
            hours = self._deadline.total_seconds() / 3600
            reason = f"It was not done within {hours:g} h, the most that this hub lets work wait."
            self._work.fail([group.id for group in late], reason)
        return [group for group in groups if group not in late]

    def _end_late(self, lane: Lane) -> None:
        """Fail what waits for its turn in a lane for too long, also when that never comes."""
        while groups := self._work.waiting(lane.name, lane.cursor, _MESSAGE):
            if len(self._in_time(groups)) == len(groups):
                return

    def _serve_lanes(self, lanes: Sequence[Lane]) -> int:
        """Publish the next of long lanes, of each in turn."""
        by_backend: dict[str, deque[Lane]] = {}
        for lane in lanes:
            by_backend.setdefault(lane.backend, deque()).append(lane)
        return sum(self._serve(backend, turns) for backend, turns in by_backend.items())

    def _serve(self, backend: str, turns: deque[Lane]) -> int:
        there = self._backlog.waiting(backend)
        taken = max(self._left.get(backend, 0) - there, 0)
        room = min(max(2 * taken, _FEWEST), _MOST) - there
        # Another lane is the first the next time.
        turns.rotate(-self._turn)
        self._turn += 1
        count = sent = 0
        while turns and sent < room:
            lane = turns.popleft()
            groups = self._work.waiting(lane.name, lane.cursor, _MESSAGE, _GROUPS)
            if not groups:
                if lane.held_at < now() - _QUIET:
                    self._lanes.release(lane)
                continue
            if in_time := self._in_time(groups):
                self._send(backend, in_time, self._backlog)
            cursor = min(f"{groups[-1].id}!", time_of("", -_SETTLED))
            if self._lanes.advance(lane, cursor):
                turns.append(msgspec.structs.replace(lane, cursor=cursor))
            count += len(groups)
            sent += 1
        self._left[backend] = there + sent
        return count

    def _take_up(self, backend: str, groups: Sequence[Group], way: Way) -> int:
        # A message that was sent waits in the queue, most likely; it is lost for certain when that is empty.
        drained = way.waiting(backend) == 0
        before = now() - _LOST_FOR_CERTAIN
        lost = [group for group in groups if drained or not group.announced_after(before)]
        for message in messages(lost):
            self._send(backend, message, way)
        return len(lost)

    def _send(self, backend: str, groups: Sequence[Group], way: Way) -> None:
        """Put the message of some groups on a queue."""
        names = [group.id for group in groups]
        # In this order: of what is marked and not sent nobody hears until it is due again.
        self._work.mark_published(names, now())
        way.publish(topology.JOB_PREDICT, names, backend)


def messages(groups: Sequence[Group]) -> list[list[Group]]:
    """Put groups together that one message names: small ones, of one lane."""
    made: list[list[Group]] = []
    size = 0
    for group in sorted(groups, key=lambda group: (group.lane, group.id)):
        size += len(group.open)
        is_like = made and made[-1][0].lane == group.lane
        if is_like and size <= _MESSAGE and len(made[-1]) < _GROUPS:
            made[-1].append(group)
        else:
            made.append([group])
            size = len(group.open)
    return made
