"""An adapter around another one that counts its calls and how long they take."""

import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from mlhub.common import metrics
from mlhub.common.batch import BatchRequest
from mlhub.common.errors import BackendError
from mlhub.common.signature import Signature
from mlhub.common.tally import Count, Tally
from mlhub.common.tensor import Tensor
from mlhub.workers.adapters.base import Answered, BackendAdapter, SharingAdapter

_WELL: Final = "ok"
_CRASH: Final = "crash"


class MeasuredAdapter:
    """Passes everything on; errors are counted by their code."""

    def __init__(self, adapter: BackendAdapter, backend: str, tally: Tally) -> None:
        self._adapter = adapter
        self._sharing = adapter if isinstance(adapter, SharingAdapter) else None
        self._backend = backend
        self._tally = tally
        # Several threads count, and adding is not one step.
        self._lock = threading.Lock()
        self._measures: dict[str, _Measure] = {}

    def deploy(self, model: str, deployment: str, files: Path) -> None:
        """Pass it on."""
        with self._measured("deploy"):
            self._adapter.deploy(model, deployment, files)

    def undeploy(self, model: str, deployment: str) -> None:
        """Pass it on."""
        with self._measured("undeploy"):
            self._adapter.undeploy(model, deployment)

    def ready(self, model: str, deployment: str) -> bool:
        """Pass it on."""
        with self._measured("ready"):
            return self._adapter.ready(model, deployment)

    def deployments(self) -> frozenset[tuple[str, str]]:
        """Pass it on."""
        with self._measured("deployments"):
            return self._adapter.deployments()

    def signature(self, model: str, deployment: str) -> Signature:
        """Pass it on."""
        with self._measured("signature"):
            return self._adapter.signature(model, deployment)

    def predict(
        self, model: str, deployment: str, inputs: Sequence[Tensor], outputs: Sequence[str] = ()
    ) -> tuple[Tensor, ...]:
        """Pass it on."""
        with self._measured("predict"):
            return self._adapter.predict(model, deployment, inputs, outputs)

    def predict_together(self, batches: Sequence[BatchRequest]) -> Sequence[Answered] | None:
        """Pass it on, where the adapter can; each batch counts like a call of its own."""
        answers = None if self._sharing is None else self._sharing.predict_together(batches)
        if answers is not None:
            measured = self._measured("predict")
            for answer in answers:
                measured.note(answer.seconds, answer.error)
        return answers

    def probe(self) -> None:
        """Pass it on."""
        with self._measured("probe"):
            self._adapter.probe()

    def _measured(self, call: str) -> "_Measured":
        measure = self._measures.get(call)
        if measure is None:
            measure = self._measures[call] = _Measure(self._tally, self._backend, call)
        return _Measured(measure, self._lock)


class _Measure:
    """What is counted of one kind of call."""

    def __init__(self, tally: Tally, backend: str, call: str) -> None:
        self.times = tally.histogram(metrics.CALL_TIME, backend, call)
        self._outcomes: dict[str, Count] = {}
        self._find = partial(tally.count, metrics.CALLS, backend, call)

    def outcome(self, outcome: str) -> Count:
        """Return the number of calls that ended so."""
        count = self._outcomes.get(outcome)
        if count is None:
            count = self._outcomes[outcome] = self._find(outcome)
        return count


class _Measured:
    """One call; a class, since a generator costs more than all the rest of it."""

    __slots__ = ("_lock", "_measure", "_started")

    def __init__(self, measure: _Measure, lock: threading.Lock) -> None:
        self._measure = measure
        self._lock = lock

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.note(time.perf_counter() - self._started, error)

    def note(self, took: float, error: BaseException | None) -> None:
        """Count a call that took so many seconds."""
        outcome = _WELL if error is None else error.code if isinstance(error, BackendError) else _CRASH
        with self._lock:
            self._measure.outcome(outcome).value += 1
            self._measure.times.observe(took)
