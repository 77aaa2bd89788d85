"""Keeps the programs of an instance running: circus, with pauses that grow, and an order of stopping.

Run as `python -m mlhub.local.watcher FOLDER`; SIGTERM and SIGINT end it, and all it started.
"""

import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from circus.arbiter import Arbiter
from circus.watcher import Watcher
from tornado import gen

from mlhub.common import logs
from mlhub.common.settings import SettingsError
from mlhub.local.instance import Instance
from mlhub.local.plan import Plan, make_plan
from mlhub.local.program import Program

_LOG = logging.getLogger(__name__)

_STABLE: Final = 20.0
"""Seconds after which a program that ends is not counted as failing at its start."""
_LONGEST: Final = 30.0
"""Seconds that the pause before a restart grows to."""
_LOG_SIZE: Final = 10 * 1024 * 1024
_LOGS: Final = 3
_TIERS: Final = range(5)


class PatientWatcher(Watcher):
    """Starts a program again when it ends; one that keeps ending at its start, after growing pauses."""

    failures = 0
    not_before = 0.0

    def reap_process(self, pid: int, status: int | None = None) -> None:
        """Note how long the program ran, and how long to wait before its next start."""
        process = self.processes.get(pid)
        age = time.time() - process.started if process is not None else _STABLE
        super().reap_process(pid, status)
        if self.is_stopping() or self.is_stopped():
            return
        self.failures = 0 if age >= _STABLE else self.failures + 1
        pause = 0.0 if self.failures < 2 else min(2.0 ** (self.failures - 1), _LONGEST)  # noqa: PLR2004
        self.not_before = time.monotonic() + pause
        _LOG.warning("%s ended after %.0f s; next start in %.0f s", self.name, age, pause)

    @gen.coroutine
    def manage_processes(self) -> Iterator[Any]:
        """Start what is missing, unless it is too early."""
        if time.monotonic() >= self.not_before:
            yield super().manage_processes()


class OrderedArbiter(Arbiter):
    """Stops programs tier by tier, so that each can finish what it holds with the help of the others."""

    @gen.coroutine
    def _stop_watchers(
        self,
        close_output_streams: bool = False,  # noqa: FBT001, FBT002 (as circus has it)
        watcher_iter_func: Any = None,
    ) -> Iterator[Any]:
        watchers = list((watcher_iter_func or self.iter_watchers)(reverse=False))
        for tier in _TIERS:
            # circus sorts by priority, the highest first: a program's tier, turned round.
            yield [watcher._stop(close_output_streams) for watcher in watchers if watcher.priority == tier]  # noqa: SLF001


def watch(instance: Instance, plan: Plan) -> None:
    """Start all programs and keep them running until told to stop."""
    endpoint = f"ipc://{_socket_folder(instance)}"
    arbiter = OrderedArbiter(
        [_watcher(program, plan, instance) for program in plan.programs],
        f"{endpoint}/control",
        f"{endpoint}/events",
        check_delay=0.5,
    )
    arbiter.start()


def _watcher(program: Program, plan: Plan, instance: Instance) -> PatientWatcher:
    log = {
        "class": "FileStream",
        "filename": str(instance.logs / f"{program.name}.log"),
        "max_bytes": _LOG_SIZE,
        "backup_count": _LOGS,
    }
    command, *arguments = program.arguments
    return PatientWatcher(
        program.name,
        command,
        args=arguments,
        env={**os.environ, **plan.environment, **program.environment},
        numprocesses=program.processes,
        graceful_timeout=program.patience,
        stdout_stream=log,
        stderr_stream=dict(log),
        priority=program.tier,
        max_retry=-1,
        # A program's own children end with it; those that do not are found by their mark.
        stop_children=False,
    )


def _socket_folder(instance: Instance) -> Path:
    """Return a folder for sockets that only this user may enter; the names of sockets are short by law."""
    longest = 80
    if len(str(instance.run)) <= longest:
        return instance.run
    import hashlib  # noqa: PLC0415 (only for folders deep down)

    name = hashlib.sha256(str(instance.folder).encode()).hexdigest()[:16]
    folder = Path("/tmp") / f"mlhub-{os.getuid()}-{name}"  # noqa: S108 (its own, and checked)
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise SettingsError(f"{folder} belongs to somebody else; choose a shorter path for the data.")
    return folder


def main() -> None:
    """Watch the instance whose folder is the first argument."""
    instance = Instance(Path(sys.argv[1]))
    record = instance.load()
    if record is None:
        raise SettingsError(f"There is no instance in {instance.folder}; start one with 'mlhub up'.")
    logs.configure("text", "INFO")
    watch(instance, make_plan(instance, record))


if __name__ == "__main__":
    main()
