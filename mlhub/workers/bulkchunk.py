"""The rows of one chunk of a bulk prediction: read, predicted in calls of a fitting size, and written."""

import time
from typing import Final

import msgspec

from mlhub.common import tensor
from mlhub.common.bulk import Bulk, BulkOutput, Span
from mlhub.common.bulkoutput import width_of
from mlhub.common.bulkrows import RowError, RowReader, read_span
from mlhub.common.errors import BackendError, BackendTimeoutError
from mlhub.common.tensor import Tensor
from mlhub.storage.bundles import BundleWriter
from mlhub.workers.adapters.base import BackendAdapter, RowsError
from mlhub.workers.bulkpace import BulkPace
from mlhub.workers.courtesy import Courtesy

_LONGEST: Final = 1.0
"""Seconds after which a worker ends its chunk where it is, so that others have their turn."""
_LARGEST: Final = 16 * 1024 * 1024
"""Bytes of outputs after which it does as well."""
_CALL: Final = 2 * 1024 * 1024
"""Bytes of inputs in a call, a row at least: a model server has several such calls in its memory at once."""


class Written(msgspec.Struct, frozen=True):
    """What was written of a chunk."""

    rows: int
    """How many; the others are left to whoever comes next."""
    taken: int
    """Bytes of the input that they are."""
    output: BulkOutput
    width: int
    """Characters of the longest text."""
    seconds: float
    """What the model server took."""


class ChunkRunner:
    """Predicts chunks with the model servers of one backend, and pauses between calls where others wait."""

    def __init__(self, adapter: BackendAdapter, courtesy: Courtesy) -> None:
        self._adapter = adapter
        self._courtesy = courtesy
        self._pace = BulkPace()

    def run(self, bulk: Bulk, span: Span, data: bytes, writer: BundleWriter) -> Written:
        """Predict rows and write what comes out; stop early when it takes long, or grows large.

        Args:
            bulk: to which they belong.
            span: which rows.
            data: their bytes.
            writer: takes the output.

        Raises:
            RowError: one of them is no input of the model.
            BackendError: the model server failed.
            UnavailableError: the store takes no more.
        """
        reader = read_span(bulk.layout, bulk.signature, span, data)
        end = time.monotonic() + _LONGEST
        done = size = width = 0
        seconds = 0.0
        output: BulkOutput | None = None
        while output is None or (done < span.rows and time.monotonic() < end and size < _LARGEST):
            brief = self._courtesy.contended
            wanted = min(self._pace.rows(bulk.deployment, brief=brief), span.rows - done)
            with self._courtesy.working():
                count, result, took = self._ask(bulk, reader, span.first, done, wanted)
            self._pace.took(bulk.deployment, count, took, brief=brief)
            own = BulkOutput(result.name, result.datatype, result.shape[1:])
            if output not in (None, own):
                raise BackendError(f"Their output is {own}, that of others {output}.")
            output = own
            writer.write(result.data)
            width = max(width, width_of(tensor.decode(result)))
            done += count
            size += len(result.data)
            seconds += took
        return Written(done, reader.size(0, done), output, width, seconds)

    def _ask(
        self, bulk: Bulk, reader: RowReader, first: int, start: int, wanted: int
    ) -> tuple[int, Tensor, float]:
        """Predict some rows in one call, fewer than wanted where they are large.

        Returns:
            How many, their output, and the seconds that the call took.
        """
        given = reader.take(start, start + wanted)
        size = sum(array.nbytes for array in given.inputs.values())
        count = min(wanted, max(1, wanted * _CALL // max(1, size)))
        inputs = [tensor.encode(name, array[:count]) for name, array in given.inputs.items()]
        started = time.monotonic()
        try:
            outputs = self._adapter.predict(bulk.model, bulk.deployment, inputs, bulk.outputs)
        except RowsError as error:
            place, reason = min(error.errors.items())
            row = f"Row {first + start + place + 1} of the file failed: "
            raise RowError(row + reason.detail, brief=row + reason.brief) from error
        except BackendTimeoutError:
            self._pace.slower(bulk.deployment)
            raise
        took = time.monotonic() - started
        return count, _chosen(bulk, outputs, count), took


def _chosen(bulk: Bulk, outputs: tuple[Tensor, ...], count: int) -> Tensor:
    """Return the output that is wanted, which has to have the rows that were sent."""
    named = (item for item in outputs if item.name in bulk.outputs)
    result = next(named, outputs[0] if outputs else None)
    if result is None or result.shape[:1] != (count,):
        given = "no outputs" if result is None else f"an output of shape {list(result.shape)}"
        raise BackendError(f"The model gave {given} for {count} rows.")
    return result
