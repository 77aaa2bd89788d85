"""Pools on one machine: circus starts and ends processes of workers, gunicorn those of model servers."""

import signal
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
from circus.client import CircusClient
from circus.exc import CallError

from mlhub.common.pool import PoolKind
from mlhub.scaling.names import control_endpoint, program_name
from mlhub.scaling.scaler import ScalerError

_TIMEOUT: Final = 5.0
"""Seconds that circus may take to answer."""
_LEAVING: Final = 45.0
"""Seconds after which no process of a model server can still be ending."""

_Master = tuple[int, float]
"""A model server's first process: its id, and when it was started."""


class _Told(NamedTuple):
    """What a model server was told last."""

    size: int
    """Processes it should have."""
    time: float
    """When, by the monotonic clock."""


class CircusScaler:
    """Asks the watcher of `mlhub up`.

    A model server stays one program: gunicorn adds and removes processes behind its port when it gets
    `SIGTTIN` and `SIGTTOU`, each by one. So its address does not change, and a new process takes connections
    only when it can serve them.
    """

    def __init__(self, folder: Path) -> None:
        self._endpoint = control_endpoint(folder)
        self._client: CircusClient | None = None
        self._told: dict[str, int] = {}
        """Sizes that circus was told, by the name of the program."""
        self._servers: dict[_Master, _Told] = {}

    def keep(self, backend: str, kind: PoolKind, count: int) -> int | None:
        """Tell circus how many, or the model server to have one more or fewer."""
        name = program_name(backend, kind)
        answer = self._call("list", name=name)
        if answer is None:
            return None
        pids: list[int] = answer["pids"]
        if kind is PoolKind.SERVERS:
            return sum(self._keep_server(pid, count) for pid in pids)
        # Those that still end are in the list, so that the number alone does not tell.
        if self._told.get(name) != count or len(pids) != count:
            self._call("set", name=name, options={"numprocesses": count})
            self._told[name] = count
        return len(pids)

    def close(self) -> None:
        """Close the connection; another call makes a new one."""
        if self._client is not None:
            self._client.stop()
            self._client = None

    def _keep_server(self, pid: int, count: int) -> int:
        try:
            process = psutil.Process(pid)
            actual = len(process.children())
            master = (pid, process.create_time())
            told = self._servers.get(master)
            time_now = time.monotonic()
            if told is None or (told.size != actual and time_now - told.time > _LEAVING):
                # Nobody knows what it was told before, or it does not do it.
                told = _Told(actual, time_now)
            # Before it has processes of its own, it does not know the signals, which would halt it.
            if actual and told.size != count:
                more = count > told.size
                process.send_signal(signal.SIGTTIN if more else signal.SIGTTOU)
                told = _Told(told.size + (1 if more else -1), time_now)
        except psutil.Error:
            # It ended just now, and circus starts another.
            return 0
        self._servers[master] = told
        return actual

    def _call(self, command: str, **properties: Any) -> dict[str, Any] | None:
        """Give circus a command; return its answer, nothing when it does not know the program.

        Raises:
            ScalerError: it does not answer, or is busy with something else.
        """
        if self._client is None:
            self._client = CircusClient(endpoint=self._endpoint, timeout=_TIMEOUT)
        try:
            answer: dict[str, Any] = self._client.send_message(command, **properties)
        except CallError as error:
            self.close()
            raise ScalerError("circus, which runs the processes of this machine, does not answer.") from error
        if answer.get("status") == "ok":
            return answer
        reason = str(answer.get("reason"))
        if "not found" in reason:
            return None
        raise ScalerError(f"circus refused: {reason}.")
