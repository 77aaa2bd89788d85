"""Calls to model servers are counted, and passed on as they are."""

from pathlib import Path
from typing import Any

import pytest

from mlhub.common import metrics
from mlhub.common.errors import BackendTimeoutError
from mlhub.common.tally import Tally
from mlhub.workers.adapters.measured import MeasuredAdapter


class Adapter:
    """Answers everything with the name of the call and its arguments, or fails."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def __getattr__(self, call: str) -> Any:
        def called(*arguments: Any) -> Any:
            if self.error is not None:
                raise self.error
            return call, *arguments

        return called


CALLS = {
    "deploy": ("m", "1", Path("x")),
    "undeploy": ("m", "1"),
    "ready": ("m", "1"),
    "deployments": (),
    "signature": ("m", "1"),
    "predict": ("m", "1", (), ("y",)),
    "probe": (),
}


@pytest.mark.parametrize(("call", "arguments"), CALLS.items())
def test_each_call_is_passed_on_and_counted(call: str, arguments: tuple[Any, ...]) -> None:
    tally, inner = Tally(), Adapter()
    adapter: Any = MeasuredAdapter(inner, "b", tally)
    answer = getattr(adapter, call)(*arguments)
    assert answer in {(call, *arguments), None}
    inner.error = BackendTimeoutError("Too slow.")
    with pytest.raises(BackendTimeoutError):
        getattr(adapter, call)(*arguments)
    inner.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        getattr(adapter, call)(*arguments)
    counts = {reading.labels: reading.value for reading in tally.read() if reading.family == metrics.CALLS}
    assert counts == {
        ("b", call, "ok"): 1,
        ("b", call, "backend_timeout"): 1,
        ("b", call, "crash"): 1,
    }
    assert sum(tally.histogram(metrics.CALL_TIME, "b", call).counts) == 3
