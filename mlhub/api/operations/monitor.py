"""What the monitor page shows: the hub as it is now, and its last hour."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final

import msgspec

import mlhub
from mlhub.api.operations.beat import Beat
from mlhub.api.operations.history import STEP, History
from mlhub.api.operations.registry import Registry
from mlhub.api.operations.service import OperationsService
from mlhub.api.operations.watch import Watch, known
from mlhub.api.services.health import Part
from mlhub.common import metrics
from mlhub.common.operations import BackendState, Point, QueueState, WorkerState
from mlhub.common.prediction import Prediction
from mlhub.common.pulse import Failure
from mlhub.common.tally import Reading
from mlhub.storage.points import PointStore

_PAUSE: Final = 2.0
"""Seconds between two states."""
_SHOWN: Final = 20
"""Failures that are shown."""


class FailedPrediction(msgspec.Struct, frozen=True):
    """An asynchronous prediction that failed."""

    id: str
    model: str
    version: str
    error: str | None
    time: datetime | None


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The hub at one moment; what is away is missing."""

    version: str
    parts: tuple[Part, ...] = ()
    backends: Sequence[BackendState] = ()
    queues: Sequence[QueueState] | None = None
    """Nothing while the broker is away."""
    workers: Sequence[WorkerState] | None = None
    processes: int = 0
    """Processes of the API that live."""
    in_flight: float = 0
    """Predictions that clients wait for."""
    failures: Sequence[Failure] = ()
    failed: Sequence[FailedPrediction] = ()
    links: dict[str, str] = {}
    """Other pages for operators."""


Event = tuple[str, State | list[Point] | Point]
"""Name and content of an event."""


class MonitorService:
    """Follows the hub, as long as the process serves."""

    def __init__(
        self,
        operations: OperationsService,
        registry: Registry,
        beat: Beat,
        failed: Callable[[], Sequence[Prediction]],
        points: PointStore,
        links: dict[str, str],
    ) -> None:
        """Remember whom to ask.

        Args:
            operations: knows the parts.
            registry: knows the processes.
            beat: knows this process.
            failed: returns the latest asynchronous predictions that failed; blocking.
            points: keeps the history.
            links: other pages for operators.
        """
        self._operations = operations
        self._registry = registry
        self._beat = beat
        self._failed = Watch(lambda: asyncio.to_thread(failed), "The metadata database")
        self._points = points
        self._links = links
        self._history = History()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to keep the history; called on the event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def events(self) -> AsyncIterator[Event]:
        """Yield the last hour, then the state every two seconds, and each new point of the history."""
        points = list(self._history.points)
        yield "history", points
        last = points[-1] if points else None
        while True:
            yield "state", await self.state()
            newest = self._history.points[-1] if self._history.points else None
            if newest is not None and newest is not last:
                last = newest
                yield "point", newest
            await asyncio.sleep(_PAUSE)

    async def state(self) -> State:
        """Return how the hub is now."""
        operations = self._operations
        health, backends, queues, workers, failed = await asyncio.gather(
            known(operations.health),
            known(operations.backends),
            known(operations.queues),
            known(operations.workers),
            known(self._failed.get),
        )
        readings = self._readings()
        failures = [failure for _, _, latest in readings for failure in latest]
        return State(
            version=mlhub.__version__,
            parts=() if health is None else (health.broker, health.database, health.store),
            backends=backends if backends is not None else await operations.without_broker(),
            queues=queues,
            workers=workers,
            processes=sum(name.startswith("api.") for name, _, _ in readings),
            in_flight=sum(
                reading.value
                for _, all_of_one, _ in readings
                for reading in all_of_one
                if reading.family == metrics.PENDING
            ),
            failures=sorted(failures, key=lambda failure: -failure.time)[:_SHOWN],
            failed=[_shown(prediction) for prediction in failed or ()],
            links=self._links,
        )

    def _readings(self) -> list[tuple[str, Sequence[Reading], Sequence[Failure]]]:
        """Return what all processes say, this one as it is now."""
        pulses = {seen.pulse.hostname: seen.pulse for seen in self._registry.pulses()}
        pulses[self._beat.name] = self._beat.pulse()
        return [
            (name, pulse.mlhub.readings, pulse.mlhub.failures)
            for name, pulse in pulses.items()
            if pulse.mlhub is not None
        ]

    async def _run(self) -> None:
        recalled = False
        while True:
            begun = asyncio.get_running_loop().time()
            point = self._history.take([(name, readings) for name, readings, _ in self._readings()])
            if not recalled:
                before = await known(lambda: asyncio.to_thread(self._points.latest))
                if recalled := before is not None:
                    self._history.recall(before)
            if point is not None:
                # The page has it in any case; what the database missed is missing after a restart.
                await known(partial(asyncio.to_thread, self._points.keep, point))
            # However long the database took.
            await asyncio.sleep(max(0.0, begun + STEP - asyncio.get_running_loop().time()))


def _shown(prediction: Prediction) -> FailedPrediction:
    return FailedPrediction(
        prediction.id, prediction.model, prediction.version, prediction.error, prediction.completed_at
    )
