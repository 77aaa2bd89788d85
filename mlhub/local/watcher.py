"""Keeps the programs of an instance running: circus, with pauses that grow, and an order of stopping.

Run as `python -m mlhub.local.watcher FOLDER`; SIGTERM and SIGINT end it, and all it started.
"""

import itertools
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from circus.arbiter import Arbiter
from circus.process import DEAD_OR_ZOMBIE, UNEXISTING, Process
from circus.watcher import Watcher
from tornado import gen
from tornado.concurrent import Future

from mlhub.common import logs
from mlhub.local.backoff import Backoff
from mlhub.local.instance import PROGRAM, Instance, write
from mlhub.local.logfile import LogFile
from mlhub.local.program import Failure, Plan, Program
from mlhub.scaling.names import control_endpoint

_LOG: Final = logging.getLogger(__name__)
_CHECK: Final = 0.5
"""Seconds between two looks whether all programs run."""


class Failures:
    """Tells `mlhub up` which programs end by themselves."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, Failure] = {}
        self._write()

    def add(self, name: str, status: int | None) -> None:
        """Note that a program ended."""
        before = self._known.get(name)
        self._known[name] = Failure(before.count + 1 if before else 1, status)
        self._write()

    def _write(self) -> None:
        write(self._file, msgspec.json.encode(self._known))


class PlainProcess(Process):
    """Starts a program with its arguments as they are; circus would fill in what looks like its variables."""

    def format_args(self, sockets_fds: Any = None) -> list[str]:
        """Return the command line."""
        del sockets_fds
        return [self.cmd, *self.args]


class PatientWatcher(Watcher):
    """Keeps processes of a program running; when they keep ending at their start, after growing pauses."""

    def __init__(self, program: Program, environment: dict[str, str], log: LogFile, noted: Failures) -> None:
        command, *arguments = program.arguments
        super().__init__(
            program.name,
            command,
            args=arguments,
            env=os.environ | environment | program.environment | {PROGRAM: program.name},
            graceful_timeout=program.patience,
            stdout_stream={"stream": log},
            stderr_stream={"stream": log},
            priority=program.tier,
            # Tries to start a process at all; circus itself goes on with the next look.
            max_retry=1,
            numprocesses=program.processes,
        )
        self._backoff = Backoff()
        self._leaving: set[Future[Any]] = set()
        """Processes that were told to end, because there are fewer now."""
        self._failures = noted

    @property
    def _process_class(self) -> type[Process]:
        return PlainProcess

    def reap_process(self, pid: int, status: int | None = None) -> None:
        """Note how long the program ran, and how long to wait before its next start."""
        process = self.processes.get(pid)
        super().reap_process(pid, status)
        if process is None or process.stopping or self.is_stopping() or self.is_stopped():
            return
        age = time.time() - process.started
        pause = self._backoff.ended(time.monotonic(), age)
        code = None if status is None else os.waitstatus_to_exitcode(status)
        self._failures.add(self.name, code)
        _LOG.warning("%s ended with %s after %.0f s; next start in %.0f s", self.name, code, age, pause)

    @gen.coroutine
    def manage_processes(self) -> None:
        """Start what is missing, unless it is too early; have those end that are too many.

        circus itself would look after nothing else until the last of those has ended, and would end the
        oldest ones, which serve best.
        """
        if self.is_stopping() or self.is_stopped():
            return
        # What ended since the arbiter looked would be forgotten by circus without a word.
        for process in list(self.processes.values()):
            if process.status in (DEAD_OR_ZOMBIE, UNEXISTING):
                self.reap_process(process.pid)
        staying = [process for process in self.processes.values() if not process.stopping]
        missing = self.numprocesses - len(staying)
        for process in sorted(staying, key=lambda process: -float(process.started))[: max(-missing, 0)]:
            _LOG.info("%s has a process too many; %d is to end", self.name, process.pid)
            leaving = self._retire(process)
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        if missing > 0 and self._backoff.over(time.monotonic()):
            for _ in range(missing):
                if not self.spawn_process():
                    break

    @gen.coroutine
    def kill_processes(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        """End all processes, and wait also for those that are ending already."""
        yield super().kill_processes(*arguments, **options)
        yield list(self._leaving)

    @property
    def _nextwid(self) -> int:
        # circus has too few of them while processes of another size of the pool still end.
        used = {process.wid for process in self.processes.values()}
        return next(number for number in itertools.count(1) if number not in used)

    @gen.coroutine
    def _retire(self, process: Process) -> Iterator[Any]:
        yield self.kill_process(process)
        self.processes.pop(process.pid, None)


class OrderedArbiter(Arbiter):
    """Stops programs tier by tier, so that each can finish what it holds with the help of the others."""

    def manage_watchers(self) -> Any:
        """Look whether all programs run, unless they are being stopped."""
        return None if self._stopping else super().manage_watchers()

    @gen.coroutine
    def _stop_watchers(
        self,
        close_output_streams: bool = False,  # noqa: FBT001, FBT002 (as circus has it)
        watcher_iter_func: Any = None,
    ) -> Iterator[Any]:
        watchers = list((watcher_iter_func or self.iter_watchers)(reverse=False))
        for tier in sorted({watcher.priority for watcher in watchers}):
            yield [watcher._stop(close_output_streams) for watcher in watchers if watcher.priority == tier]  # noqa: SLF001 (circus stops all at once)


def watch(instance: Instance, plan: Plan) -> None:
    """Start all programs and keep them running until told to stop."""
    folder = instance.socket_folder()
    failures = Failures(instance.failures)
    watchers = [
        PatientWatcher(program, plan.environment, LogFile(instance.logs / f"{program.name}.log"), failures)
        for program in plan.programs
    ]
    OrderedArbiter(watchers, control_endpoint(folder), f"ipc://{folder}/events", check_delay=_CHECK).start()


def main() -> None:
    """Watch the instance whose folder is the first argument."""
    instance = Instance(Path(sys.argv[1]))
    logs.configure("text", "INFO")
    watch(instance, msgspec.json.decode(instance.plan.read_bytes(), type=Plan))


if __name__ == "__main__":
    main()
