"""Counting the batches of one backend on their way."""

from mlhub.api.gateway.group import Batch
from mlhub.common import metrics
from mlhub.common.tally import Tally


class BatchMeter:
    """What is counted of the batches of one backend."""

    def __init__(self, tally: Tally, backend: str) -> None:
        self._requests = tally.histogram(metrics.BATCH_REQUESTS, backend)
        self._rows = tally.histogram(metrics.BATCH_ROWS, backend)
        self._waits = tally.histogram(metrics.QUEUE_WAIT, backend)

    def sent(self, batch: Batch) -> None:
        """Count what goes out."""
        self._requests.observe(len(batch.waiters))
        self._rows.observe(batch.rows)

    def answered(self, seconds: float) -> None:
        """Count how long a batch was on its way, without the model server's time."""
        self._waits.observe(seconds)
