"""What a job worker makes of a message, with a real database and a model server that does as it is told."""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlhub.common import tensor
from mlhub.common.errors import BackendUnreachableError
from mlhub.common.prediction import Prediction
from mlhub.common.tensor import Tensor
from mlhub.storage.copies import CopyStore
from mlhub.storage.database import connect, now
from mlhub.storage.directory import DirectoryBundleStore
from mlhub.storage.heldfiles import HeldFiles
from mlhub.storage.largetensors import LargeTensors
from mlhub.storage.predictions import PredictionStore
from mlhub.storage.shelf import BundleShelf
from mlhub.storage.versions import VersionStore
from mlhub.storage.work import WorkStore
from mlhub.workers.attempts import AttemptPolicy
from mlhub.workers.prediction import PredictionJob

MINUTE = timedelta(minutes=1)
POLICY = AttemptPolicy(limit=3, lease=MINUTE)


class Server:
    """Doubles what it is given, after doing what a test wants to be done."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        """Rows of each call."""
        self.first: Callable[[list[float]], object] = lambda _values: None

    def predict(
        self, model: str, deployment: str, inputs: Sequence[Tensor], outputs: Sequence[str] = ()
    ) -> tuple[Tensor, ...]:
        (array,) = (tensor.decode(item) for item in inputs)
        self.sizes.append(len(array))
        self.first(array.ravel().tolist())
        return (tensor.encode("y", array * 2),)


class Bench:
    """A job with its database."""

    def __init__(self, database: Any, folder: Path, max_bytes: int = 1000) -> None:
        db = connect(database.url, database.name)
        self.close = db.client.close
        self.predictions = PredictionStore(db, timedelta(days=1))
        self.predictions.create_indexes()
        self.work = WorkStore(db, timedelta(days=1))
        self.server = Server()
        self.store = DirectoryBundleStore(folder)
        shelf = BundleShelf(self.store, CopyStore(db), VersionStore(db))
        self.tensors = LargeTensors(HeldFiles(shelf, self.store), timedelta(days=1), 500)
        self.job = PredictionJob(self.work, self.tensors, self.server, POLICY, max_bytes, 128)  # type: ignore[arg-type]

    def keep(self, name: str, *values: float, rows: int = 1) -> list[str]:
        time = now()
        kept = self.predictions.add_all(
            [
                Prediction(
                    id=f"{name}{number}",
                    model="m",
                    version="1",
                    backend="b",
                    deployment="d",
                    inputs=(tensor.encode("x", np.full((rows, 1), value)),),
                    created_at=time,
                    published_at=time,
                )
                for number, value in enumerate(values)
            ]
        )
        return [item.id for item in kept if isinstance(item, Prediction)]

    def states(self, names: list[str]) -> list[str]:
        return [self.predictions.get(name).status for name in names]

    def values(self, names: list[str]) -> list[float]:
        return [tensor.decode(self.predictions.get(name).result[0])[0, 0] for name in names]


@pytest.fixture
def bench(database: Any, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(database, tmp_path)
    yield made
    made.close()


def test_groups_of_a_message_are_one_call(bench: Bench) -> None:
    names = bench.keep("a", 1.0, 2.0) + bench.keep("b", 3.0)
    assert bench.job.run(["a0", "b0"])
    assert bench.server.sizes == [3]
    assert bench.values(names) == [2.0, 4.0, 6.0]
    assert bench.job.run(["a0", "b0"], redelivered=True)
    assert bench.server.sizes == [3], "what has ended does not run again"


def test_messages_of_older_hubs_name_predictions(bench: Bench) -> None:
    names = bench.keep("a", 1.0, 2.0)
    assert bench.job.run(names[1])
    assert bench.states(names) == ["succeeded", "succeeded"]


def test_what_may_pass_is_tried_again_after_a_pause_and_given_up_in_the_end(bench: Bench) -> None:
    def refuse(_values: list[float]) -> None:
        raise BackendUnreachableError("away")

    names = bench.keep("a", 1.0, 2.0)
    bench.server.first = refuse
    for expected in (True, True, False):
        bench.work.release(["a0"], "", timedelta())
        assert bench.job.run(["a0"]) is expected
    found = [bench.predictions.get(name) for name in names]
    assert [(item.status, item.error, item.dead) for item in found] == [("failed", "away", True)] * 2


def test_a_surprise_costs_only_the_one_to_blame(bench: Bench) -> None:
    def surprise(values: list[float]) -> None:
        if 13.0 in values:
            raise KeyError("internal")

    names = bench.keep("a", 1.0, 13.0, 3.0)
    bench.server.first = surprise
    assert bench.job.run(["a0"])
    assert bench.states(names) == ["succeeded", "processing", "succeeded"]
    (again,) = bench.work.claim(["a0"], "h", MINUTE)
    assert not again.orphaned


def test_a_group_whose_worker_died_is_done_one_by_one_and_the_deadly_one_last(bench: Bench) -> None:
    class DeadError(BaseException):
        """Stands for the end of the process."""

    def die(values: list[float]) -> None:
        if 13.0 in values:
            raise DeadError

    names = bench.keep("a", 1.0, 13.0, 3.0)
    bench.server.first = die
    for _ in range(4):
        with pytest.raises(DeadError):
            bench.job.run(["a0"], redelivered=True)
    assert bench.states(names) == ["succeeded", "processing", "succeeded"]
    assert not bench.job.run(["a0"], redelivered=True), "it is given up"
    found = bench.predictions.get(names[1])
    assert (found.status, found.dead, found.tries) == ("failed", True, 3)
    assert bench.server.sizes == [3, 1, 1, 1, 1, 1], "twice more for the deadly one alone"


def test_one_that_is_cancelled_while_it_is_done_stays_cancelled(bench: Bench) -> None:
    names = bench.keep("a", 1.0, 2.0)
    bench.server.first = lambda _values: bench.predictions.end(names[0], "canceled")  # type: ignore[arg-type]
    assert bench.job.run(["a0"])
    assert bench.states(names) == ["canceled", "succeeded"]


def test_of_two_workers_with_one_message_one_runs(bench: Bench) -> None:
    names = bench.keep("a", 1.0)
    begun, may_end = threading.Event(), threading.Event()

    def hold(_values: list[float]) -> None:
        begun.set()
        may_end.wait(60)

    bench.server.first = hold
    other = threading.Thread(target=bench.job.run, args=(["a0"],))
    other.start()
    assert begun.wait(60)
    assert bench.job.run(["a0"])
    may_end.set()
    other.join(60)
    assert bench.server.sizes == [1]
    assert bench.states(names) == ["succeeded"]


def test_large_inputs_and_outputs_are_in_files_and_inputs_go_when_they_are_done(bench: Bench) -> None:
    time = now()
    item = Prediction(
        id="large",
        model="m",
        version="1",
        backend="b",
        deployment="d",
        inputs=(tensor.encode("x", np.full((100, 1), 3.0)),),
        created_at=time,
        published_at=time,
    )
    bench.predictions.add(bench.tensors.without_inputs(item))
    (given,) = [key for key, _ in bench.store.listing()]
    (small,) = bench.keep("s", 1.0)
    assert bench.job.run(["large", small])
    assert bench.states([small]) == ["succeeded"]
    kept = bench.predictions.get("large")
    assert (kept.status, kept.result) == ("succeeded", ())
    assert np.array_equal(tensor.decode(bench.tensors.with_result(kept).result[0]), np.full((100, 1), 6.0))
    assert kept.result_file is not None
    assert kept.result_file.key != given
    assert [key for key, _ in bench.store.listing()] == [kept.result_file.key]


def test_answers_that_are_too_large_fail_with_what_to_do(database: Any, tmp_path: Path) -> None:
    bench = Bench(database, tmp_path, max_bytes=20)
    try:
        (small,), (large,) = bench.keep("a", 1.0, rows=2), bench.keep("b", 2.0, rows=3)
        assert bench.job.run(["a0", "b0"])
        assert bench.predictions.get(small).status == "succeeded"
        assert "fewer rows" in str(bench.predictions.get(large).error)
    finally:
        bench.close()
