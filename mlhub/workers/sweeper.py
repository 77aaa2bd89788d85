"""The sweeper: finds versions whose message was lost, and has their work begun again.

A record is kept before its message is sent, so a broker that loses messages, or a process that dies in
between, loses no work. The sweeper may run in many processes: each record is taken by compare-and-set.
"""

import logging
from collections.abc import Callable, Collection
from datetime import timedelta
from pathlib import Path
from typing import Final

from mlhub.common import topology
from mlhub.common.model import Version, VersionState
from mlhub.storage.database import now
from mlhub.workers.records import Records
from mlhub.workers.validation.workspace import clear

_LOG = logging.getLogger(__name__)

_AT_ONCE: Final = 500
"""Records taken in one sweep."""
_GIVEN_UP: Final = timedelta(hours=1)
"""Time without workers of a backend that is not configured any more after which what was removed is left on
its servers: until then the backend may come back."""

Publish = Callable[[str, str | list[str], str], None]
"""Sends the task (first) of a record or some records (second) to the job pool of a backend (third)."""
Waiting = Callable[[str], int]
"""Tells how many messages wait for the job pool of a backend."""


class Sweeper:
    """Looks for lost work."""

    def __init__(
        self,
        records: Records,
        publish: Publish,
        waiting: Waiting,
        interval: float,
        grace: float,
        work: Path,
        sweep_bulks: Callable[[], int],
        configured: Collection[str],
    ) -> None:
        """Remember what is needed.

        Args:
            records: all that is kept.
            publish: sends a message.
            waiting: tells how many there are on a queue.
            interval: seconds after which a message that nobody took up may be lost.
            grace: seconds after which temporary files of dead processes are cleared away.
            work: folder of validations.
            sweep_bulks: looks for lost work of bulk predictions.
            configured: names of the backends in the settings.
        """
        self._records = records
        self._publish = publish
        self._waiting = waiting
        self._interval = interval
        self._grace = grace
        self._work = work
        self._sweep_bulks = sweep_bulks
        self._configured = configured

    def sweep(self) -> int:
        """Republish what is lost; return how many records that were."""
        since = now() - timedelta(seconds=self._interval)
        versions = self._records.versions.unworked(since, _AT_ONCE)
        # Work in a queue is not lost, only waiting. A record is lost for certain when its queue is empty.
        backends = {version.backend for version in versions if version.backend is not None}
        drained = {backend for backend in backends if self._waiting(backend) == 0}
        count = 0
        for version in versions:
            count += self._take_up(version, drained)
        count += self._sweep_bulks()
        self._records.uploads.sweep()
        self._records.shelf.sweep(self._grace)
        clear(self._work)
        if count:
            _LOG.info("%d lost records were put on their queues again", count)
        return count

    def _take_up(self, version: Version, drained: set[str]) -> bool:
        """Have work on a version begun again; tell whether it was."""
        if version.backend is None:
            # No pool works for it, and none has to: it was never on a model server.
            self._records.catalogue.forget(version)
            return False
        removing = version.state is VersionState.REMOVING
        if removing and self._is_given_up(version):
            _LOG.warning(
                "%s of %s is left on the servers of %s, a backend that is not configured any more",
                *(version.deployment, version.model, version.backend),
            )
            self._records.catalogue.forget(version)
            return False
        if version.backend not in drained or not self._records.versions.mark_published(version):
            return False
        task = topology.JOB_REMOVE if removing else topology.JOB_VALIDATE
        self._publish(task, version.deployment, version.backend)
        return True

    def _is_given_up(self, version: Version) -> bool:
        """Tell whether a removed version stays where it is; workers that live renew its time."""
        if version.backend in self._configured or version.published_at is None:
            return False
        return version.published_at < now() - _GIVEN_UP
