"""An adapter around another one that counts its calls and how long they take."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mlhub.common import metrics
from mlhub.common.errors import BackendError
from mlhub.common.signature import Signature
from mlhub.common.tally import Tally
from mlhub.common.tensor import Tensor
from mlhub.workers.adapters.base import BackendAdapter

_WELL: Final = "ok"
_CRASH: Final = "crash"


class MeasuredAdapter:
    """Passes everything on; errors are counted by their code."""

    def __init__(self, adapter: BackendAdapter, backend: str, tally: Tally) -> None:
        self._adapter = adapter
        self._backend = backend
        self._tally = tally
        # Several threads count, and adding is not one step.
        self._lock = threading.Lock()

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

    def probe(self) -> None:
        """Pass it on."""
        with self._measured("probe"):
            self._adapter.probe()

    @contextmanager
    def _measured(self, call: str) -> Iterator[None]:
        started = time.perf_counter()
        outcome = _CRASH
        try:
            yield
            outcome = _WELL
        except BackendError as error:
            outcome = error.code
            raise
        finally:
            took = time.perf_counter() - started
            with self._lock:
                self._tally.count(metrics.CALLS, self._backend, call, outcome).value += 1
                self._tally.histogram(metrics.CALL_TIME, self._backend, call).observe(took)
