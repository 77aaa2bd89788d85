"""`mlhub worker`: one process of a backend's predict or job pool."""

import os
import sys
from enum import StrEnum
from typing import Annotated, Final

import typer

_NICE: Final = 10
"""How far job workers stand behind other processes of their machine."""


class PoolKind(StrEnum):
    """The two pools of a backend."""

    PREDICT = "predict"
    JOBS = "jobs"


def worker(
    backend: Annotated[str, typer.Option(help="Name of the backend to work for.")] = "sklearn",
    kind: Annotated[
        PoolKind, typer.Option(help="predict: clients that wait. jobs: uploads and asynchronous predictions.")
    ] = PoolKind.PREDICT,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="Calls to model servers at once; by itself the slots and half as many."),
    ] = None,
) -> None:
    """Run one worker process; start more of them for more throughput.

    Settings come from MLHUB_* variables. SIGTERM lets it finish what it holds.
    """
    # Celery takes its time to import; `mlhub --help` should not wait for it.
    from mlhub.common import logs  # noqa: PLC0415
    from mlhub.common.settings import load_settings  # noqa: PLC0415
    from mlhub.workers.app import create_worker  # noqa: PLC0415
    from mlhub.workers.process import run  # noqa: PLC0415

    settings = load_settings()
    logs.configure(settings.log_format, settings.log_level)
    if kind is PoolKind.JOBS:
        # Whoever waits for an answer comes first.
        os.nice(_NICE)
        if sys.platform == "linux":
            # Nobody else has to make room when there is something to do.
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    app = create_worker(settings, backend, kind.value)
    # What is more than the slots waits at the server: it shall not idle while a worker is between two calls.
    ahead = settings.backends[backend].slots_ahead
    raise typer.Exit(run(app, f"{kind}.{backend}", concurrency or ahead))
