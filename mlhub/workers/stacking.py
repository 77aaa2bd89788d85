"""Asynchronous predictions in one call to the model server: which go together, and what each of them gets."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, Final

import msgspec
import numpy as np

from mlhub.common import logs, tensor
from mlhub.common.batch import BatchRequest, Part
from mlhub.common.errors import MLHubError
from mlhub.common.prediction import Prediction
from mlhub.common.tensor import Tensor
from mlhub.workers.adapters.base import BackendAdapter
from mlhub.workers.batch import run_batch

_MOST_BYTES: Final = 1024 * 1024
"""Bytes of inputs in a call for more than one prediction."""


class Outcome(msgspec.Struct, frozen=True):
    """What a model server said to one prediction."""

    outputs: tuple[Tensor, ...] = ()
    seconds: float = 0.0
    """How long it took, for all that went in one call."""
    error: MLHubError | None = None
    """Why there are no outputs."""


class Stacker:
    """Makes one call of many predictions."""

    def __init__(self, adapter: BackendAdapter, most_rows: int) -> None:
        self._adapter = adapter
        self._most_rows = most_rows

    def batches(self, predictions: Sequence[Prediction]) -> Iterator[list[Prediction]]:
        """Yield those that go in one call: of one version, for the same outputs, of the same kind of row."""
        alike: dict[Any, list[Prediction]] = {}
        for item in predictions:
            alike.setdefault(_kind(item), []).append(item)
        for same in alike.values():
            batch: list[Prediction] = []
            rows = size = 0
            for item in same:
                rows += _rows(item)
                size += _size(item)
                if batch and (rows > self._most_rows or size > _MOST_BYTES):
                    yield batch
                    batch, rows, size = [], _rows(item), _size(item)
                batch.append(item)
            yield batch

    def predict(self, batch: Sequence[Prediction]) -> list[Outcome]:
        """Predict a batch; one that the server refuses fails alone."""
        first = batch[0]
        sizes = tuple(_rows(item) for item in batch)
        requests = logs.joined(item.request for item in batch)
        request = BatchRequest(first.model, first.deployment, _stacked(batch), sizes, first.outputs, requests)
        reply = run_batch(self._adapter, request)
        outcomes: list[Outcome] = []
        for part in reply.parts:
            own = sizes[len(outcomes) : len(outcomes) + part.count]
            outcomes += _outcomes(part, own, reply.backend_time)
        return outcomes


def _rows(item: Prediction) -> int:
    shape = item.inputs[0].shape
    return shape[0] if shape else 1


def _size(item: Prediction) -> int:
    kept = 0 if item.inputs_file is None else item.inputs_file.size
    return kept + sum(len(part.data) for part in item.inputs)


def _kind(item: Prediction) -> Any:
    """Return what predictions have in common that go in one call; those of rows that differ go alone."""
    inputs = tuple((part.name, part.datatype, part.shape[1:]) for part in item.inputs)
    extents = {part.shape[:1] for part in item.inputs}
    alone = item.id if len(extents) != 1 or () in extents else ""
    return item.model, item.deployment, item.outputs, inputs, alone


def _stacked(batch: Sequence[Prediction]) -> tuple[Tensor, ...]:
    if len(batch) == 1:
        return batch[0].inputs
    parts = zip(*(item.inputs for item in batch), strict=True)
    return tuple(_joined(same) for same in parts)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Stack tensors of the same kind: row-major bytes one after the other."""
    first = parts[0]
    shape = (sum(part.shape[0] for part in parts), *first.shape[1:])
    return Tensor(first.name, first.datatype, shape, b"".join(part.data for part in parts))


def _outcomes(part: Part, sizes: Sequence[int], seconds: float) -> list[Outcome]:
    if part.code:
        return [Outcome(error=part.error(), seconds=seconds)] * part.count
    if part.count == 1:
        return [Outcome(part.outputs, seconds)]
    places = list(accumulate(sizes))[:-1]
    arrays = [(output.name, np.split(tensor.decode(output), places)) for output in part.outputs]
    return [
        Outcome(tuple(tensor.encode(name, pieces[place]) for name, pieces in arrays), seconds)
        for place in range(part.count)
    ]
