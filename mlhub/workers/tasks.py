"""The tasks: each decodes its argument and makes one call."""

from typing import Any

from celery import Celery
from celery.exceptions import Reject

from mlhub.common import topology
from mlhub.common.batch import ENCODER, REQUEST, BatchReply, Probe
from mlhub.common.errors import BackendError
from mlhub.common.logs import NOBODY, REQUEST_ID
from mlhub.workers.adapters.base import BackendAdapter
from mlhub.workers.batch import run_batch
from mlhub.workers.bulk import BulkJob
from mlhub.workers.prediction import PredictionJob
from mlhub.workers.removal import RemovalJob
from mlhub.workers.validation.job import ValidationJob


def register_predict(app: Celery, adapter: BackendAdapter, **options: Any) -> None:
    """Add the tasks of a predict pool; their results go back through Celery's result backend.

    Args:
        app: Celery's application.
        adapter: what calls the model servers.
        options: of the task for batches, as Celery knows them.
    """

    def predict(*payloads: bytes) -> list[bytes]:
        return [ENCODER.encode(_answer(adapter, payload)) for payload in payloads]

    def probe() -> bytes:
        try:
            adapter.probe()
        except BackendError as error:
            return ENCODER.encode(Probe(healthy=False, detail=error.detail))
        return ENCODER.encode(Probe(healthy=True))

    app.task(predict, name=topology.PREDICT, shared=False, **options)
    app.task(probe, name=topology.PROBE, shared=False)


def _answer(adapter: BackendAdapter, payload: bytes) -> BatchReply:
    """Predict a batch; whatever this thread logs from then on names its requests, also that it failed."""
    # Not those of the batch before, should this one be beyond reading.
    REQUEST_ID.set(NOBODY)
    request = REQUEST.decode(payload)
    REQUEST_ID.set(request.requests or NOBODY)
    return run_batch(adapter, request)


def register_jobs(
    app: Celery, prediction: PredictionJob, bulk: BulkJob, validation: ValidationJob, removal: RemovalJob
) -> None:
    """Add the tasks of a job pool; what they find is recorded in the database, not returned."""

    def predict(task: Any, identities: str | list[str]) -> None:
        redelivered = bool(task.request.delivery_info.get("redelivered"))
        if not prediction.run(identities, redelivered=redelivered):
            # The broker keeps it with the dead letters, from where it may be taken up once more.
            raise Reject("given up", requeue=False)

    def predict_bulk(turn: str) -> None:
        bulk.run(turn)

    def validate(deployment: str) -> None:
        validation.run(deployment)

    def remove(deployment: str) -> None:
        removal.run(deployment)

    app.task(predict, name=topology.JOB_PREDICT, bind=True, shared=False, ignore_result=True)
    app.task(predict_bulk, name=topology.JOB_BULK, shared=False, ignore_result=True)
    app.task(validate, name=topology.JOB_VALIDATE, shared=False, ignore_result=True)
    app.task(remove, name=topology.JOB_REMOVE, shared=False, ignore_result=True)
