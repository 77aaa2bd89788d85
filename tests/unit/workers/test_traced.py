"""What a worker does is in spans: a message, and each call for it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from mlhub.common import tensor
from mlhub.common.batch import ENCODER, BatchRequest
from mlhub.common.errors import BackendUnreachableError
from mlhub.common.tally import Tally
from mlhub.common.tensor import Tensor
from mlhub.common.tracing import TRACEPARENT, Attributes, Kind
from mlhub.workers.adapters.base import Answered
from mlhub.workers.traced import TracedAdapter, traced

INPUT = tensor.encode("x", np.zeros((1, 1)))


class Notebook:
    """Notes what spans are made, in which, and how they ended."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, str, str]] = []

    def begin(self, name: str, kind: Kind, parents: Sequence[str], attributes: Attributes) -> "Page":
        return Page(self, name, parents[0])

    def close(self) -> None:
        pass


class Page:
    def __init__(self, notebook: Notebook, name: str, parent: str) -> None:
        self._notebook = notebook
        self._parent = parent
        self.traceparent = name

    def rename(self, name: str) -> None:
        self.traceparent = name

    def note(self, attributes: Attributes) -> None:
        pass

    def end(self, error: str = "") -> None:
        self._notebook.spans.append((self.traceparent, self._parent, error))


class Server:
    """Answers one call for several batches, and none for a single one."""

    def predict(self, *given: Any) -> tuple[Tensor, ...]:
        raise BackendUnreachableError(f"away from {TRACEPARENT.get()}")

    def predict_together(self, batches: Sequence[BatchRequest]) -> Sequence[Answered]:
        return [Answered((INPUT,)) for _ in batches]


class Alone:
    """Knows of no calls for several."""

    predict = Server.predict


def test_a_message_is_within_the_span_of_its_sender_and_calls_are_within_it() -> None:
    notebook = Notebook()
    adapter = TracedAdapter(Server(), "b", Tally(), notebook)  # type: ignore[arg-type]
    batch = BatchRequest("m", "1", (INPUT,), (1,), trace="sender")

    def predict(*payloads: bytes) -> list[bytes]:
        assert adapter.predict_together([batch] * len(payloads)) == [Answered((INPUT,))] * 2
        with pytest.raises(BackendUnreachableError, match="away from predict"):
            adapter.predict("m", "1", (INPUT,))
        return []

    assert traced(predict, notebook, "b")(ENCODER.encode(batch), ENCODER.encode(batch)) == []
    message = "process mlhub.b.predict"
    assert notebook.spans == [
        ("predict together", message, ""),
        ("predict", message, "backend_unreachable"),
        (message, "sender", ""),
    ]


def test_an_adapter_that_knows_no_calls_for_several_has_no_span_of_one() -> None:
    notebook = Notebook()
    adapter = TracedAdapter(Alone(), "b", Tally(), notebook)  # type: ignore[arg-type]
    assert adapter.predict_together([]) is None
    assert notebook.spans == []
