"""Starting and stopping an instance."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
import requests

from mlhub.common.errors import MLHubError
from mlhub.common.settings import SettingsError
from mlhub.local import processes
from mlhub.local.frameworks import installed
from mlhub.local.instance import MARK, Instance, Record
from mlhub.local.plan import make_plan, server_name
from mlhub.local.ports import is_free

_READY: Final = 90.0
"""Seconds that all parts together have to get ready."""
_PAUSE: Final = 0.2
_STOP: Final = 120.0
"""Seconds that the watcher has to end everything in order."""
_TAIL: Final = 15
"""Lines of a log that are shown when something fails."""

Say = Callable[[str], None]
"""Tells the user what is going on."""


class StartError(MLHubError):
    """The hub could not be started."""

    code = "start_failed"


class Started(msgspec.Struct, frozen=True):
    """A running instance."""

    record: Record
    management_url: str | None
    process: "subprocess.Popen[bytes] | None"
    """The watcher, when this call started it."""

    @property
    def url(self) -> str:
        """Where the API answers on this machine."""
        host = "127.0.0.1" if self.record.host in ("0.0.0.0", "::") else self.record.host  # noqa: S104 (compared)
        return f"http://{host}:{self.record.port}"


@contextmanager
def locked(instance: Instance) -> Iterator[None]:
    """Keep others from starting or stopping the same instance meanwhile."""
    instance.prepare()
    with (instance.run / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def start(instance: Instance, host: str, port: int, say: Say) -> Started:
    """Start an instance, or find that it runs already.

    Raises:
        SettingsError: something is missing or taken.
        StartError: a part did not get ready; the sentence says which, with the end of its log.
    """
    running = processes.find_watcher(instance.folder)
    record = instance.load()
    if running is not None and record is not None:
        if (record.host, record.port) != (host, port):
            raise SettingsError(
                f"The hub in {instance.folder} runs on {record.host}:{record.port} already; "
                f"stop it first: mlhub down --data {instance.folder}"
            )
        started = Started(record, make_plan(instance, record).management_url, None)
    else:
        started = _start_watcher(instance, host, port, say)
    _wait_until_ready(instance, started, say)
    return started


def stop(instance: Instance) -> None:
    """Stop an instance and whatever is left of it."""
    processes.stop(instance.folder, _STOP)


def _start_watcher(instance: Instance, host: str, port: int, say: Say) -> Started:
    # After a crash, programs may be left without a watcher; the database's folder would be locked by one.
    processes.stop(instance.folder, _STOP)
    if not is_free(host, port):
        raise SettingsError(f"Port {port} is taken by another program; choose another: mlhub up --port …")
    record = instance.save(host, port, [server_name(framework) for framework in installed()])
    plan = make_plan(instance, record)
    names = ", ".join(program.name for program in plan.programs)
    say(f"starting {names}")
    with (instance.logs / "watcher.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 (this program itself)
            [sys.executable, "-m", "mlhub.local.watcher", str(instance.folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, MARK: str(instance.folder)},
            start_new_session=True,
        )
    return Started(record, plan.management_url, process)


def _wait_until_ready(instance: Instance, started: Started, say: Say) -> None:
    deadline = time.monotonic() + _READY
    last = ""
    while True:
        problem = _problem(started.url)
        if problem is None:
            return
        if problem != last:
            say(problem)
            last = problem
        if started.process is not None and started.process.poll() is not None:
            raise StartError(f"The watcher ended at its start.\n{_tail(instance, 'watcher')}")
        if time.monotonic() > deadline:
            raise StartError(f"The hub did not get ready in {_READY:g} seconds: {last}\n{_tails(instance)}")
        time.sleep(_PAUSE)


def _problem(url: str) -> str | None:
    """Return what keeps the hub from being ready; nothing when it is."""
    try:
        response = requests.get(f"{url}/health/ready", timeout=5)
    except requests.RequestException:
        return "waiting for the API"
    if response.ok:
        return None
    try:
        return str(response.json().get("detail", response.reason))
    except ValueError:
        return f"something else answers at {url}"


def _tails(instance: Instance) -> str:
    recent = sorted(instance.logs.glob("*.log"), key=lambda path: path.stat().st_mtime, reverse=True)
    return "\n".join(_tail(instance, path.stem) for path in recent[:3])


def _tail(instance: Instance, name: str) -> str:
    path = instance.logs / f"{name}.log"
    try:
        lines = path.read_text(errors="replace").splitlines()[-_TAIL:]
    except FileNotFoundError:
        return f"There is no {path}."
    return "\n".join([f"The end of {path}:", *(f"  {line}" for line in lines)])
