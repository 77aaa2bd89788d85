"""Spans of what workers do; used only where traces are wanted."""

from collections.abc import Sequence

from mlhub.common import topology
from mlhub.common.batch import REQUEST, BatchRequest
from mlhub.common.tally import Tally
from mlhub.common.tensor import Tensor
from mlhub.common.tracing import Attributes, Kind, Tracing, spanning
from mlhub.workers.adapters.base import Answered, BackendAdapter
from mlhub.workers.adapters.measured import MeasuredAdapter
from mlhub.workers.tasks import Predict


def traced(predict: Predict, tracing: Tracing, backend: str) -> Predict:
    """Make a span of each message, within that of whoever sent it."""
    queue = topology.predict_queue_name(backend)

    def run(*payloads: bytes) -> list[bytes]:
        sender = [REQUEST.decode(payload).trace for payload in payloads[:1]]
        with spanning(tracing, f"process {queue}", Kind.CONSUMER, topology.traced(queue, "process"), sender):
            return predict(*payloads)

    return run


class TracedAdapter(MeasuredAdapter):
    """Counts as well, and makes a span of each prediction."""

    def __init__(self, adapter: BackendAdapter, backend: str, tally: Tally, tracing: Tracing) -> None:
        super().__init__(adapter, backend, tally)
        self._tracing = tracing
        self._named = {"mlhub.backend": backend}

    def predict(
        self, model: str, deployment: str, inputs: Sequence[Tensor], outputs: Sequence[str] = ()
    ) -> tuple[Tensor, ...]:
        """Pass it on; the model server's own span is within this one."""
        known = {**self._named, "mlhub.model": model, "mlhub.deployment": deployment}
        with spanning(self._tracing, "predict", Kind.CLIENT, known):
            return super().predict(model, deployment, inputs, outputs)

    def predict_together(self, batches: Sequence[BatchRequest]) -> Sequence[Answered] | None:
        """Pass it on, where the adapter can; one span for the call that they share."""
        if self._sharing is None:
            return None
        known: Attributes = {**self._named, "mlhub.batches": len(batches)}
        with spanning(self._tracing, "predict together", Kind.CLIENT, known):
            return super().predict_together(batches)
