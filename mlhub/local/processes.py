"""The processes of an instance, found by the mark in their environment."""

import os
import signal
from pathlib import Path

import psutil

from mlhub.local.instance import MARK

_WATCHER = "mlhub.local.watcher"


def find(folder: Path) -> list[psutil.Process]:
    """Return all processes of the instance in `folder`, also those whose watcher is gone."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(folder) and process.pid != os.getpid():
                found.append(process)
        except (psutil.Error, OSError):
            # Somebody else's, or gone since it was listed.
            continue
    return found


def find_watcher(folder: Path) -> psutil.Process | None:
    """Return the instance's watcher, if it runs."""
    for process in find(folder):
        try:
            if _WATCHER in process.cmdline():
                return process
        except psutil.Error:
            continue
    return None


def stop(folder: Path, patience: float) -> None:
    """End all processes of an instance: the watcher ends the others in order, then what is left ends."""
    watcher = find_watcher(folder)
    if watcher is not None:
        _signal([watcher], signal.SIGTERM)
        psutil.wait_procs([watcher], timeout=patience)
    left = find(folder)
    _signal(left, signal.SIGTERM)
    _, alive = psutil.wait_procs(left, timeout=10)
    _signal(alive, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=10)


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
