"""The worker's sign of life: Celery's own heartbeat, with what the hub's operators want to know."""

from typing import Any

import msgspec
from celery import bootsteps
from celery.utils.sysinfo import load_average
from celery.worker import state
from celery.worker.consumer.events import Events
from celery.worker.heartbeat import Heart

from mlhub.common import pulse
from mlhub.common.pulse import Vitals
from mlhub.common.tally import Tally


class Heartbeat(Heart):
    """Celery's heartbeat; it goes over the connection for events, from the worker's main thread."""

    def __init__(self, consumer: Any, vitals: Vitals, tally: Tally) -> None:
        super().__init__(consumer.timer, consumer.event_dispatcher, pulse.INTERVAL)
        self._vitals = vitals
        self._tally = tally

    def _send(self, event: str, retry: bool = True) -> Any:  # noqa: FBT001, FBT002 (as Celery has it)
        vitals = msgspec.structs.replace(
            self._vitals, memory=pulse.memory(), readings=tuple(self._tally.read())
        )
        return self.eventer.send(
            event,
            freq=self.interval,
            active=len(state.active_requests),
            processed=state.all_total_count[0],
            loadavg=load_average(),
            retry=retry,
            mlhub=msgspec.to_builtins(vitals),
            **state.SOFTWARE_INFO,
        )


def beating(kind: str, backend: str, tally: Tally) -> type[bootsteps.StartStopStep]:
    """Make the step of a worker that takes the place of Celery's step for heartbeats.

    Args:
        kind: of its pool.
        backend: that it works for.
        tally: what it counts.
    """

    class Beating(bootsteps.StartStopStep):
        """Beats while the worker is connected."""

        requires = (Events,)

        def __init__(self, parent: Any, **options: Any) -> None:
            parent.heart = None
            super().__init__(parent, **options)

        def start(self, parent: Any) -> None:
            """Begin, once connected."""
            vitals = Vitals(
                backend=backend, kind=kind, concurrency=parent.pool.num_processes, started=pulse.STARTED
            )
            parent.heart = Heartbeat(parent, vitals, tally)
            parent.heart.start()

        def stop(self, parent: Any) -> None:
            """Say goodbye."""
            heart, parent.heart = parent.heart, None
            if heart is not None:
                heart.stop()

        shutdown = stop

    return Beating
