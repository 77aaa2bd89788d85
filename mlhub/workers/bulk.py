"""The job of a bulk prediction: take a chunk, predict its rows, keep what comes out, pass the turn on."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from mlhub.common import logs, topology
from mlhub.common.bulk import Bulk, Chunk, Part, new_turn, read_turn
from mlhub.common.bulkrows import RowError
from mlhub.common.errors import MLHubError
from mlhub.common.prediction import PredictionStatus
from mlhub.common.tracing import Kind, Tracing, spanning
from mlhub.storage.bulks import BulkStore
from mlhub.storage.bulkshelf import BulkShelf, read
from mlhub.storage.database import now
from mlhub.storage.predictions import PredictionStore
from mlhub.workers.adapters.base import BackendAdapter
from mlhub.workers.attempts import AttemptPolicy, attempt
from mlhub.workers.bulkchunk import ChunkRunner
from mlhub.workers.courtesy import Courtesy
from mlhub.workers.lease import renewed

_LOG = logging.getLogger(__name__)

_PAUSE: Final = timedelta(seconds=2)
"""How long a chunk waits that failed for a reason that may pass."""

Pass = Callable[[str, str], None]
"""Sends a turn (first) to the job pool of a backend (second)."""


class BulkJob:
    """Works off chunks of bulk predictions of one backend."""

    def __init__(
        self,
        bulks: BulkStore,
        shelf: BulkShelf,
        predictions: PredictionStore,
        adapter: BackendAdapter,
        policy: AttemptPolicy,
        send: Pass,
        courtesy: Courtesy,
        tracing: Tracing | None = None,
    ) -> None:
        self._bulks = bulks
        self._shelf = shelf
        self._predictions = predictions
        self._runner = ChunkRunner(adapter, courtesy)
        self._policy = policy
        self._send = send
        self._tracing = tracing

    def run(self, turn: str) -> None:
        """Work off the chunk that is next in the bulk that a turn is of."""
        identity, name = read_turn(turn)
        if not self._bulks.begin(identity):
            self.settle(identity)
            return
        taken = self._bulks.take(identity, name, self._policy.lease)
        if taken is None:
            # Others are at what is left; or they died after all was done.
            self.settle(identity)
            return
        bulk, chunk = taken
        queue = topology.backlog_queue_name(bulk.backend)
        known = topology.traced(queue, "process")
        with (
            logs.working_for([bulk.request]),
            spanning(self._tracing, f"process {queue}", Kind.CONSUMER, known, [bulk.trace]),
        ):
            self._work_off(bulk, chunk, name)

    def _work_off(self, bulk: Bulk, chunk: Chunk, turn: str) -> None:
        if self._policy.exhausted(chunk.attempts):
            self._fail(
                bulk, chunk, "Its workers died on them again and again, so they are not tried any more."
            )
            return
        try:
            with renewed(lambda: self._bulks.renew(bulk.id, turn, self._policy.lease), self._policy.lease):
                part = attempt(lambda: self._predict(bulk, chunk))
        except MLHubError as error:
            if self._policy.again(chunk.attempts, error):
                _LOG.warning("rows of bulk prediction %s will be tried again: %s", bulk.id, error)
                self._bulks.release(bulk.id, turn, _PAUSE)
            elif isinstance(error, RowError):
                self._end(bulk, error.detail, error.brief)
            else:
                self._fail(bulk, chunk, error.detail, error.brief)
            return
        self._finish(bulk, chunk, part)

    def settle(self, identity: str) -> None:
        """Bring a bulk to its end whose rows are all done, or whose prediction has ended."""
        bulk = self._bulks.find(identity)
        if bulk is None or bulk.closed:
            return
        if bulk.is_done:
            self._predictions.end(identity, PredictionStatus.SUCCEEDED, predict_time=bulk.seconds)
        status = self._bulks.status(identity)
        if status is not None and status not in {PredictionStatus.STARTING, PredictionStatus.PROCESSING}:
            self._shelf.close(bulk, status)

    def _finish(self, bulk: Bulk, chunk: Chunk, part: Part) -> None:
        if bulk.output is not None and bulk.output != part.output:
            self._shelf.drop(part.key, part.holder)
            self._fail(
                bulk,
                chunk,
                f"Their output is {part.output}, that of other rows {bulk.output}.",
            )
            return
        after, kept = self._bulks.finish(bulk.id, part)
        if kept.key != part.key:
            self._shelf.drop(part.key, part.holder)
        if after is None or (after.closed and not after.is_done):
            # It ended meanwhile, and whoever cleared it away did not see this part.
            self._shelf.drop_parts(bulk.id)
            return
        is_open = self._bulks.tell(bulk.id, after.done)
        if after.is_done or not is_open:
            self.settle(bulk.id)
        elif after.free_slots(now()) > 0:
            self._send(new_turn(bulk.id), bulk.backend)

    def _predict(self, bulk: Bulk, chunk: Chunk) -> Part:
        span = chunk.span
        with self._shelf.open(bulk.key) as file:
            data = read(file, span.offset, span.size)
        writer = self._shelf.create()
        try:
            written = self._runner.run(bulk, span, data, writer)
            held = self._shelf.keep(writer, bulk.expires_at)
        finally:
            writer.abort()
        return Part(
            first=span.first,
            rows=written.rows,
            taken=written.taken,
            output=written.output,
            key=held.key,
            holder=held.holder,
            size=held.stored.size,
            sha256=held.stored.sha256,
            width=written.width,
            seconds=written.seconds,
        )

    def _fail(self, bulk: Bulk, chunk: Chunk, reason: str, brief: str = "") -> None:
        span = chunk.span
        rows = f"Rows {span.first + 1} to {span.first + span.rows} failed: "
        self._end(bulk, rows + reason, rows + (brief or reason))

    def _end(self, bulk: Bulk, reason: str, brief: str) -> None:
        _LOG.warning("bulk prediction %s failed: %s", bulk.id, brief)
        self._predictions.end(bulk.id, PredictionStatus.FAILED, error=reason)
        self.settle(bulk.id)
