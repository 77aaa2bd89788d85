"""No model keeps another from answering: not while it loads, and not while it computes."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from mlhub.common.oipshared import SharedCall, SharedRequest
from mlhub.common.signature import Signature, TensorSpec
from mlhub.common.tally import Tally
from mlhub.common.tensor import Array
from mlhub.servers.folder import ModelFolder
from mlhub.servers.metrics import InferenceMeter
from mlhub.servers.options import RuntimeOptions
from mlhub.servers.serving import Serving
from mlhub.servers.shared import SharedResource

PATIENCE = 60.0
BODY = msgspec.json.encode({"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1.0]}]})


class Model:
    """Gives back what it gets; waits for its gate if it has one."""

    signature = Signature((TensorSpec("x", "FP64", (-1,)),), (TensorSpec("y", "FP64", (-1,)),))
    size_bytes = 1

    def __init__(self, gate: threading.Event | None) -> None:
        self._gate = gate
        self.entered = threading.Event()
        self.threads: list[str] = []

    def predict(self, inputs: dict[str, Array], outputs: tuple[str, ...]) -> dict[str, Array]:
        self.threads.append(threading.current_thread().name)
        self.entered.set()
        if self._gate is not None:
            assert self._gate.wait(PATIENCE)
        return {"y": np.array(inputs["x"])}


class Runtime:
    """Loads models whose folders say with their names what they wait for."""

    platform = "tests"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.models: dict[str, Model] = {}

    def load(self, folder: Path) -> Model:
        name = folder.parent.name
        if name == "heavy":
            self.entered.set()
            assert self.gate.wait(PATIENCE)
        self.models[name] = Model(self.gate if name == "slow" else None)
        return self.models[name]


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    made = Runtime()
    yield made
    made.gate.set()


@pytest.fixture
def serving(runtime: Runtime, models: Path) -> Serving:
    for name in ("quick", "heavy", "slow"):
        folder = models / name / "1"
        folder.mkdir(parents=True)
        (folder / "model").touch()
    return Serving(ModelFolder(models), runtime, RuntimeOptions(max_memory=2**20))


async def seen(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, PATIENCE)


def run(serving: Serving, body: Any) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(body(), PATIENCE)
        await serving.process_shutdown(None, None)

    asyncio.run(bounded())


def test_one_model_answers_while_another_is_loaded(serving: Serving, runtime: Runtime) -> None:
    async def body() -> None:
        await serving.infer("quick", "1", BODY, None)
        loading = asyncio.create_task(serving.deployed("heavy", "1"))
        await seen(runtime.entered)
        # In a thread at first, and on the event loop from some time on.
        for _ in range(20):
            await serving.infer("quick", "1", BODY, None)
        assert not loading.done()
        runtime.gate.set()
        await loading

    run(serving, body)
    threads = runtime.models["quick"].threads
    assert threads[0].startswith("predict")


def test_one_model_answers_while_another_computes(serving: Serving, runtime: Runtime) -> None:
    async def body() -> None:
        await serving.deployed("slow", "1")
        computing = asyncio.create_task(serving.infer("slow", "1", BODY, None))
        await seen(runtime.models["slow"].entered)
        for _ in range(20):
            await serving.infer("quick", "1", BODY, None)
        assert not computing.done()
        runtime.gate.set()
        await computing

    run(serving, body)


def test_one_that_is_late_holds_up_no_other_of_its_call(serving: Serving, runtime: Runtime) -> None:
    shared = SharedResource(serving, InferenceMeter(Tally()), 2**20)

    async def body() -> None:
        await serving.deployed("slow", "1")
        await serving.infer("quick", "1", BODY, None)
        slow, quick = (SharedRequest(name, "1", None, BODY) for name in ("slow", "quick"))
        (late,) = await shared.answer(SharedCall((slow,), 0.01))
        assert (late.status, b"0.01 seconds" in late.body) == (504, True)
        waiting = asyncio.create_task(shared.answer(SharedCall((slow, quick), PATIENCE)))
        await seen(runtime.models["slow"].entered)
        runtime.gate.set()
        assert [answer.status for answer in await waiting] == [200, 200]

    run(serving, body)
