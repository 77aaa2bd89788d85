"""The job of a bulk prediction: take a chunk, predict its rows, keep what comes out, pass the turn on."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from mlhub.common import tensor
from mlhub.common.bulk import Bulk, BulkOutput, Chunk, Part, new_turn, read_turn
from mlhub.common.bulkoutput import width_of
from mlhub.common.bulkrows import RowError, RowReader, read_span
from mlhub.common.errors import BackendError, BackendTimeoutError, MLHubError
from mlhub.common.prediction import PredictionStatus
from mlhub.common.tensor import Tensor
from mlhub.storage.bulks import BulkStore
from mlhub.storage.bulkshelf import BulkShelf, read
from mlhub.storage.bundles import BundleWriter
from mlhub.storage.database import now
from mlhub.storage.predictions import PredictionStore
from mlhub.workers.adapters.base import BackendAdapter, RowsError
from mlhub.workers.attempts import AttemptPolicy, attempt
from mlhub.workers.bulkpace import BulkPace
from mlhub.workers.lease import renewed

_LOG = logging.getLogger(__name__)

_LONGEST: Final = 1.0
"""Seconds after which a worker ends its chunk where it is, so that others have their turn."""
_LARGEST: Final = 16 * 1024 * 1024
"""Bytes of outputs after which it does as well."""
_CALL: Final = 2 * 1024 * 1024
"""Bytes of inputs in a call, a row at least: a model server has several such calls in its memory at once."""
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
    ) -> None:
        self._bulks = bulks
        self._shelf = shelf
        self._predictions = predictions
        self._adapter = adapter
        self._policy = policy
        self._send = send
        self._pace = BulkPace()

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
        if self._policy.exhausted(chunk.attempts):
            self._fail(
                bulk, chunk, "Its workers died on them again and again, so they are not tried any more."
            )
            return
        try:
            with renewed(lambda: self._bulks.renew(identity, name, self._policy.lease), self._policy.lease):
                part = attempt(lambda: self._predict(bulk, chunk))
        except MLHubError as error:
            if isinstance(error, BackendTimeoutError):
                self._pace.slower(bulk.deployment)
            if self._policy.again(chunk.attempts, error):
                _LOG.warning("rows of bulk prediction %s will be tried again: %s", identity, error)
                self._bulks.release(identity, name, _PAUSE)
            elif isinstance(error, RowError):
                self._end(bulk, error.detail)
            else:
                self._fail(bulk, chunk, error.detail)
            return
        self._finish(bulk, chunk, part)

    def settle(self, identity: str) -> None:
        """Bring a bulk to its end whose rows are all done, or whose prediction has ended."""
        bulk = self._bulks.find(identity)
        if bulk is None or bulk.closed:
            return
        if bulk.is_done:
            self._predictions.end(identity, PredictionStatus.SUCCEEDED)
        status = self._bulks.status(identity)
        if status is not None and status not in {PredictionStatus.STARTING, PredictionStatus.PROCESSING}:
            self._shelf.close(bulk, status)

    def _finish(self, bulk: Bulk, chunk: Chunk, part: Part) -> None:
        if bulk.output is not None and bulk.output != part.output:
            self._shelf.drop(part.key, part.holder)
            self._fail(
                bulk,
                chunk,
                f"Their output is {_described(part.output)}, that of other rows {_described(bulk.output)}.",
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
        reader = read_span(bulk.layout, bulk.signature, span, data)
        writer = self._shelf.create()
        try:
            done, output, width = self._write(bulk, span.first, span.rows, reader, writer)
            held = self._shelf.keep(writer, bulk.expires_at)
        finally:
            writer.abort()
        return Part(
            first=span.first,
            rows=done,
            taken=reader.size(0, done),
            output=output,
            key=held.key,
            holder=held.holder,
            size=held.stored.size,
            sha256=held.stored.sha256,
            width=width,
        )

    def _write(
        self, bulk: Bulk, first: int, rows: int, reader: RowReader, writer: BundleWriter
    ) -> tuple[int, BulkOutput, int]:
        """Predict rows and write what comes out; stop early when it takes long, or grows large."""
        end = time.monotonic() + _LONGEST
        done = size = width = 0
        output: BulkOutput | None = None
        while output is None or (done < rows and time.monotonic() < end and size < _LARGEST):
            wanted = min(self._pace.rows(bulk.deployment), rows - done)
            count, result = self._ask(bulk, reader, done, wanted, first)
            own = BulkOutput(result.name, result.datatype, result.shape[1:])
            if output not in (None, own):
                raise BackendError(f"Their output is {_described(own)}, that of others {_described(output)}.")
            output = own
            writer.write(result.data)
            width = max(width, width_of(tensor.decode(result)))
            done += count
            size += len(result.data)
        return done, output, width

    def _ask(self, bulk: Bulk, reader: RowReader, start: int, wanted: int, first: int) -> tuple[int, Tensor]:
        """Predict some rows in one call, fewer than wanted where they are large; return how many, too."""
        given = reader.take(start, start + wanted)
        size = sum(array.nbytes for array in given.inputs.values())
        count = min(wanted, max(1, wanted * _CALL // max(1, size)))
        inputs = [tensor.encode(name, array[:count]) for name, array in given.inputs.items()]
        started = time.monotonic()
        try:
            outputs = self._adapter.predict(bulk.model, bulk.deployment, inputs, bulk.outputs)
        except RowsError as error:
            place, reason = min(error.errors.items())
            raise RowError(f"Row {first + start + place + 1} of the file failed: {reason.detail}") from error
        self._pace.took(bulk.deployment, count, time.monotonic() - started)
        result = next(
            (item for item in outputs if item.name in bulk.outputs), outputs[0] if outputs else None
        )
        if result is None or result.shape[:1] != (count,):
            given_rows = "no outputs" if result is None else f"an output of shape {list(result.shape)}"
            raise BackendError(f"The model gave {given_rows} for {count} rows.")
        return count, result

    def _fail(self, bulk: Bulk, chunk: Chunk, reason: str) -> None:
        span = chunk.span
        self._end(bulk, f"Rows {span.first + 1} to {span.first + span.rows} failed: {reason}")

    def _end(self, bulk: Bulk, reason: str) -> None:
        _LOG.warning("bulk prediction %s failed: %s", bulk.id, reason)
        self._predictions.end(bulk.id, PredictionStatus.FAILED, error=reason)
        self.settle(bulk.id)


def _described(output: BulkOutput) -> str:
    return f"{output.datatype} of shape {list(output.row)}"
