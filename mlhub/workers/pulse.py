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


class Heartbeat(Heart):
    """Celery's heartbeat; it goes over the connection for events, from the worker's main thread."""

    def __init__(self, consumer: Any, vitals: Vitals) -> None:
        super().__init__(consumer.timer, consumer.event_dispatcher, pulse.INTERVAL)
        self._vitals = vitals

    def _send(self, event: str, retry: bool = True) -> Any:  # noqa: FBT001, FBT002 (as Celery has it)
        vitals = msgspec.structs.replace(self._vitals, memory=pulse.memory())
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


class Beating(bootsteps.StartStopStep):
    """Takes the place of Celery's step for heartbeats."""

    requires = (Events,)

    def __init__(self, parent: Any, **options: Any) -> None:
        parent.heart = None
        super().__init__(parent, **options)

    def start(self, parent: Any) -> None:
        """Begin, once connected."""
        kind, backend, *_ = parent.hostname.split(".")
        vitals = Vitals(
            backend=backend, kind=kind, concurrency=parent.pool.num_processes or 0, started=pulse.STARTED
        )
        parent.heart = Heartbeat(parent, vitals)
        parent.heart.start()

    def stop(self, parent: Any) -> None:
        """Say goodbye."""
        heart, parent.heart = parent.heart, None
        if heart is not None:
            heart.stop()

    shutdown = stop
