"""The tasks: each decodes its argument and makes one call."""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, Final

from celery import Celery
from celery.exceptions import Reject

from mlhub.common import logs, topology
from mlhub.common.batch import ENCODER, REQUEST, Probe
from mlhub.common.errors import BackendError, UnavailableError
from mlhub.common.logs import NOBODY, REQUEST_ID
from mlhub.workers.adapters.base import BackendAdapter
from mlhub.workers.batch import run_batches
from mlhub.workers.bulk import BulkJob
from mlhub.workers.courtesy import Courtesy
from mlhub.workers.prediction import PredictionJob
from mlhub.workers.removal import RemovalJob
from mlhub.workers.validation.job import ValidationJob

_LOG: Final = logging.getLogger(__name__)

_BRIEF: Final = 4
"""Groups of a long lane that are done between two pauses: others wait for what the database does for them."""

Predict = Callable[..., list[bytes]]
"""Takes encoded `BatchRequest`s, and gives as many encoded `BatchReply`s."""


def register_predict(
    app: Celery, adapter: BackendAdapter, wrap: Callable[[Predict], Predict] | None = None, **options: Any
) -> None:
    """Add the tasks of a predict pool; their results go back through Celery's result backend.

    Args:
        app: Celery's application.
        adapter: what calls the model servers.
        wrap: puts something around the task for batches.
        options: of the task for batches, as Celery knows them.
    """

    def predict(*payloads: bytes) -> list[bytes]:
        # Not those of the message before, should this one be beyond reading.
        REQUEST_ID.set(NOBODY)
        requests = [REQUEST.decode(payload) for payload in payloads]
        # Whatever this thread logs from now on names the requests, also that they failed.
        REQUEST_ID.set(logs.joined(request.requests for request in requests) or NOBODY)
        return [ENCODER.encode(reply) for reply in run_batches(adapter, requests)]

    def probe() -> bytes:
        REQUEST_ID.set(NOBODY)
        try:
            adapter.probe()
        except BackendError as error:
            return ENCODER.encode(Probe(healthy=False, detail=error.detail))
        return ENCODER.encode(Probe(healthy=True))

    task = predict if wrap is None else wrap(predict)
    app.task(task, name=topology.PREDICT, shared=False, **options)
    app.task(probe, name=topology.PROBE, shared=False)


def register_jobs(
    app: Celery,
    prediction: PredictionJob,
    bulk: BulkJob,
    validation: ValidationJob,
    removal: RemovalJob,
    courtesy: Courtesy,
    backlog: str,
) -> None:
    """Add the tasks of a job pool; what they find is recorded in the database, not returned.

    Args:
        app: Celery's application.
        prediction: does asynchronous predictions.
        bulk: does parts of files.
        validation: checks uploads.
        removal: takes versions from their model servers.
        courtesy: has what takes turns wait for them.
        backlog: name of the queue with that.
    """

    def predict(task: Any, identities: str | list[str]) -> None:
        delivery = task.request.delivery_info
        redelivered = bool(delivery.get("redelivered"))
        # What comes by the other queue is done between two pieces of long lanes.
        is_small = delivery.get("routing_key") != backlog
        all_well = True
        for piece in _pieces(identities, lambda: courtesy.contended and not is_small):
            with courtesy.working(is_small=is_small):
                all_well &= prediction.run(piece, redelivered=redelivered)
        if not all_well:
            # The broker keeps it with the dead letters, from where it may be taken up once more.
            raise Reject("given up", requeue=False)

    def predict_bulk(turn: str) -> None:
        bulk.run(turn)

    def validate(deployment: str) -> None:
        validation.run(deployment)

    def remove(deployment: str) -> None:
        removal.run(deployment)

    app.task(_put_off(predict), name=topology.JOB_PREDICT, bind=True, shared=False, ignore_result=True)
    app.task(_put_off(predict_bulk), name=topology.JOB_BULK, shared=False, ignore_result=True)
    app.task(_put_off(validate), name=topology.JOB_VALIDATE, shared=False, ignore_result=True)
    app.task(_put_off(remove), name=topology.JOB_REMOVE, shared=False, ignore_result=True)


def _pieces(identities: str | Sequence[str], is_brief: Callable[[], bool]) -> Iterator[Sequence[str]]:
    """Yield what a message names: all of it, or a little while that is to be brief."""
    left = [identities] if isinstance(identities, str) else identities
    while left:
        count = _BRIEF if is_brief() else len(left)
        yield left[:count]
        left = left[count:]


def _put_off(work: Callable[..., None]) -> Callable[..., None]:
    """Have work wait while the database is away: its record is still due, and the sweeper sends it again."""

    @wraps(work)
    def attempt(*arguments: Any) -> None:
        try:
            work(*arguments)
        except UnavailableError as error:
            record = arguments[-1]
            named = record if isinstance(record, str) else f"{len(record)} groups of predictions"
            _LOG.warning("%s of %s is put off: %s", work.__name__, named, error)

    return attempt
