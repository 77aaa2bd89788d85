"""Predictions that go in one call, and what each of them gets of the answer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlhub.common import tensor
from mlhub.common.errors import BackendRefusedError
from mlhub.common.prediction import Prediction
from mlhub.common.tensor import Array, Tensor
from mlhub.storage.database import now
from mlhub.workers.stacking import Outcome, Stacker

BAD = -1.0


class Server:
    """Doubles what it is given, and refuses what has bad values."""

    def __init__(self) -> None:
        self.calls = 0

    def predict(
        self, model: str, deployment: str, inputs: Sequence[Tensor], outputs: Sequence[str] = ()
    ) -> tuple[Tensor, ...]:
        self.calls += 1
        arrays = [tensor.decode(item) for item in inputs]
        if any(array.dtype.kind == "f" and (array == BAD).any() for array in arrays):
            raise BackendRefusedError("bad value")
        return tuple(tensor.encode(item.name, array * 2) for item, array in zip(inputs, arrays, strict=True))


def order(number: int, *arrays: Array, **fields: Any) -> Prediction:
    inputs = tuple(tensor.encode(f"x{place}", array) for place, array in enumerate(arrays))
    values: dict[str, Any] = {"model": "m", "version": "1", "backend": "b", "deployment": "d"}
    return Prediction(id=f"p{number}", inputs=inputs, created_at=now(), **values | fields)


def run(server: Server, orders: Sequence[Prediction], most: int = 128) -> dict[str, Outcome]:
    stacker = Stacker(server, most)  # type: ignore[arg-type]
    found: dict[str, Outcome] = {}
    for batch in stacker.batches(orders):
        found |= {item.id: outcome for item, outcome in zip(batch, stacker.predict(batch), strict=True)}
    return found


def value(outcome: Outcome) -> Any:
    return tensor.decode(outcome.outputs[0]).tolist()


def test_many_are_one_call_and_each_gets_its_own_rows() -> None:
    server = Server()
    orders = [order(number, np.full((number % 3 + 1, 2), float(number))) for number in range(30)]
    found = run(server, orders)
    assert server.calls == 1
    assert [value(found[item.id]) for item in orders] == [
        np.full((number % 3 + 1, 2), 2.0 * number).tolist() for number in range(30)
    ]


@given(st.lists(st.sampled_from([BAD, 1.0, 2.0]), max_size=20), st.integers(1, 8))
def test_what_is_refused_fails_alone(values: list[float], most: int) -> None:
    orders = [order(number, np.array([[item]])) for number, item in enumerate(values)]
    found = run(Server(), orders, most)
    for item, single in zip(orders, values, strict=True):
        if single == BAD:
            assert isinstance(found[item.id].error, BackendRefusedError)
        else:
            assert value(found[item.id]) == [[single * 2]]


def test_what_differs_in_kind_goes_apart() -> None:
    orders = [
        order(0, np.zeros((1, 2))),
        order(1, np.zeros((1, 3))),
        order(2, np.zeros((1, 2), np.float32)),
        order(3, np.zeros((1, 2)), deployment="e"),
        order(4, np.zeros((1, 2)), outputs=("y",)),
        order(5, np.zeros((1, 2)), np.zeros((2, 2))),
        order(6, np.zeros((1, 2)), np.zeros((2, 2))),
        order(7, np.array(3.0)),
        order(8, np.zeros((1, 2))),
    ]
    groups = [[item.id for item in batch] for batch in Stacker(Server(), 128).batches(orders)]  # type: ignore[arg-type]
    assert groups == [["p0", "p8"], *([f"p{number}"] for number in range(1, 8))]


def test_a_call_has_only_so_many_rows_and_bytes_unless_it_is_for_one() -> None:
    stacker = Stacker(Server(), 4)  # type: ignore[arg-type]
    orders = [order(number, np.zeros((rows, 1))) for number, rows in enumerate([1, 2, 2, 9, 4, 1])]
    batches = [[item.id for item in batch] for batch in stacker.batches(orders)]
    assert batches == [["p0", "p1"], ["p2"], ["p3"], ["p4"], ["p5"]]
    large = [order(number, np.zeros((1, 100_000))) for number in range(3)]
    assert [len(batch) for batch in stacker.batches(large)] == [1, 1, 1]
