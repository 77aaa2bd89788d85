"""Has bulk predictions gone on with whose turns were lost, and ended those that have ended."""

from collections.abc import Callable
from datetime import timedelta

from mlhub.common.bulk import new_turn
from mlhub.storage.bulks import BulkStore
from mlhub.storage.bulkshelf import BulkShelf
from mlhub.storage.database import now
from mlhub.workers.bulk import BulkJob, Pass


class BulkSweeper:
    """What the sweeper does for bulk predictions; safe in several processes at once."""

    def __init__(
        self,
        bulks: BulkStore,
        shelf: BulkShelf,
        job: BulkJob,
        send: Pass,
        waiting: Callable[[str], int],
        interval: float,
    ) -> None:
        """Remember what is needed.

        Args:
            bulks: all of them.
            shelf: their files.
            job: what settles them.
            send: sends a turn.
            waiting: tells how many messages wait for the job pool of a backend.
            interval: seconds in which turns are not sent twice.
        """
        self._bulks = bulks
        self._shelf = shelf
        self._job = job
        self._send = send
        self._waiting = waiting
        self._interval = timedelta(seconds=interval)

    def sweep(self) -> int:
        """Look at all that are not closed; return how many turns were sent."""
        self._shelf.sweep()
        count = 0
        drained: dict[str, bool] = {}
        for bulk in self._bulks.unfinished():
            self._job.settle(bulk.id)
            time = now()
            turns = bulk.free_slots(time)
            if not turns or bulk.swept_at > time - self._interval:
                continue
            if bulk.backend not in drained:
                # A turn in a queue is not lost, only waiting.
                drained[bulk.backend] = self._waiting(bulk.backend) == 0
            if drained[bulk.backend] and self._bulks.sweep(bulk):
                for _ in range(turns):
                    self._send(new_turn(bulk.id), bulk.backend)
                count += turns
        return count
