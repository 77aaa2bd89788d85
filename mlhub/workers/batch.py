"""Batches: calls to the model server, and what to do when the server refuses one of them."""

import logging
import time
from collections.abc import Sequence

import numpy as np

from mlhub.common import logs, tensor
from mlhub.common.batch import BatchReply, BatchRequest, Part
from mlhub.common.errors import (
    BackendError,
    BackendRefusedError,
    BackendTimeoutError,
    BackendUnreachableError,
)
from mlhub.common.tensor import Tensor
from mlhub.workers.adapters.base import Answered, BackendAdapter, RowsError, SharingAdapter

_LOG = logging.getLogger(__name__)

_ONE_TO_BLAME = (BackendError, BackendRefusedError)
"""Errors that a single request may cause for all others of its batch."""
_NONE_TO_BLAME = (BackendUnreachableError, BackendTimeoutError)
"""Errors that meet all batches of a message alike."""


def run_batches(adapter: BackendAdapter, requests: Sequence[BatchRequest]) -> list[BatchReply]:
    """Predict the batches of a message, in one call where the server can: each as if it were alone."""
    answers: Sequence[Answered] | None = None
    if len(requests) > 1 and isinstance(adapter, SharingAdapter):
        try:
            answers = adapter.predict_together(requests)
        except BackendError as error:
            if type(error) in _NONE_TO_BLAME:
                answers = [Answered(error=error)] * len(requests)
            # Otherwise one of them may be to blame.
    if answers is None:
        return [run_batch(adapter, request) for request in requests]
    return [run_batch(adapter, *both) for both in zip(requests, answers, strict=True)]


def run_batch(adapter: BackendAdapter, request: BatchRequest, answered: Answered | None = None) -> BatchReply:
    """Predict a batch; a request that the server refuses fails alone.

    A refused batch is halved until the requests to blame stand by themselves: k bad ones among n cost
    about 2 k log2(n) calls, where trying each singly would cost n.

    Args:
        adapter: what calls the model server.
        request: the batch.
        answered: what the server has said to it already, in a call for several.
    """
    started = time.perf_counter()
    parts = _run(adapter, request, request.inputs, request.sizes, answered)
    before = 0.0 if answered is None else answered.seconds
    reply = BatchReply(tuple(parts), before + time.perf_counter() - started)
    _tell(request, parts)
    return reply


def _tell(request: BatchRequest, parts: Sequence[Part]) -> None:
    """Have the log say what failed, each line with the requests that it is about."""
    start = 0
    for part in parts:
        if part.code:
            error = part.error()
            # A refusal is between the client and the model.
            level = logging.INFO if isinstance(error, BackendRefusedError) else logging.WARNING
            ids = _ids(request, start, part.count)
            _LOG.log(level, "%s of %s: %s", request.deployment, request.model, error, extra=logs.of(ids))
        start += part.count


def _ids(request: BatchRequest, start: int, count: int) -> Sequence[str]:
    """Return the ids of some consecutive requests of a batch."""
    if count == len(request.sizes):
        return (request.requests,)
    return logs.apart(request.requests)[start : start + count]


def _run(
    adapter: BackendAdapter,
    request: BatchRequest,
    inputs: tuple[Tensor, ...],
    sizes: Sequence[int],
    answered: Answered | None = None,
    start: int = 0,
) -> list[Part]:
    """Predict consecutive requests of a batch, from the one at `start` on."""
    try:
        if answered is None:
            with logs.working_for(_ids(request, start, len(sizes))):
                outputs = adapter.predict(request.model, request.deployment, inputs, request.outputs)
        else:
            outputs = answered.result()
    except RowsError as error:
        return _by_row(error, sizes)
    except BackendError as error:
        if len(sizes) == 1 or type(error) not in _ONE_TO_BLAME:
            return [Part.failed(len(sizes), error)]
    else:
        if len(sizes) == 1 or _has_rows(outputs, sum(sizes)):
            return [Part(len(sizes), outputs)]
        # The outputs cannot be told apart by row, so each request needs a call of its own.
    middle = len(sizes) // 2
    rows = sum(sizes[:middle])
    first, second = _split(inputs, rows)
    return [
        *_run(adapter, request, first, sizes[:middle], start=start),
        *_run(adapter, request, second, sizes[middle:], start=start + middle),
    ]


def _by_row(failed: RowsError, sizes: Sequence[int]) -> list[Part]:
    """Answer each request by its own rows: one bad row fails its request, and no other."""
    arrays = [(output.name, tensor.decode(output)) for output in failed.outputs]
    parts = []
    row = taken = 0
    for size in sizes:
        errors = [failed.errors[place] for place in range(row, row + size) if place in failed.errors]
        good = size - len(errors)
        if errors:
            parts.append(Part.failed(1, errors[0]))
        else:
            own = tuple(tensor.encode(name, array[taken : taken + size]) for name, array in arrays)
            parts.append(Part(1, own))
        row += size
        taken += good
    return parts


def _has_rows(outputs: Sequence[Tensor], rows: int) -> bool:
    return all(output.shape[:1] == (rows,) for output in outputs)


def _split(inputs: Sequence[Tensor], rows: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    halves = [np.split(tensor.decode(item), [rows]) for item in inputs]
    names = [item.name for item in inputs]
    first, second = zip(*halves, strict=True)
    return (
        tuple(tensor.encode(name, half) for name, half in zip(names, first, strict=True)),
        tuple(tensor.encode(name, half) for name, half in zip(names, second, strict=True)),
    )
