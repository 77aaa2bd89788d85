"""The processes of an instance, found by the mark in their environment."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil

from mlhub.local.instance import MARK, PROGRAM

WATCHER: Final = "mlhub.local.watcher"
"""Module that the watcher runs."""
_AGAIN: Final = 3.0
"""Seconds after which the watcher is told again: it takes no orders while it carries out another."""
_LOOK: Final = 0.5
"""Seconds between two looks for what is left."""
_LAST: Final = 10.0
"""Seconds that processes without a watcher have to end by themselves."""


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


def running(folder: Path) -> set[str]:
    """Return the names of the programs of an instance of which processes are left."""
    names = set()
    for process in find(folder):
        try:
            names.add(process.environ().get(PROGRAM, ""))
        except (psutil.Error, OSError):
            continue
    return names - {""}


def find_watcher(folder: Path) -> psutil.Process | None:
    """Return the instance's watcher, if it runs."""
    return next((process for process in find(folder) if WATCHER in command_line(process)), None)


def command_line(process: psutil.Process) -> list[str]:
    """Return a process's command line: no words when it has ended, also while nobody has collected it."""
    try:
        words: list[str] = process.cmdline()
    except psutil.Error:
        return []
    return words


def stop(folder: Path, patience: float, look: Callable[[], None] = lambda: None) -> bool:
    """End all processes of an instance: the watcher ends the others in order, then what is left ends.

    Args:
        folder: of the instance.
        patience: seconds that the watcher has.
        look: called every so often while that takes its time.

    Returns:
        Whether there were any.
    """
    watcher = find_watcher(folder)
    deadline = time.monotonic() + patience
    while watcher is not None and time.monotonic() < deadline:
        _signal([watcher], signal.SIGTERM)
        if _ended(watcher, look):
            break
    left = _end(folder, signal.SIGTERM, _LAST) + _end(folder, signal.SIGKILL, _LAST)
    return watcher is not None or left > 0


def _ended(watcher: psutil.Process, look: Callable[[], None]) -> bool:
    """Wait a while for the watcher to end; tell whether it has."""
    until = time.monotonic() + _AGAIN
    while time.monotonic() < until:
        if not psutil.wait_procs([watcher], timeout=_LOOK)[1]:
            return True
        look()
    return False


def _end(folder: Path, number: signal.Signals, patience: float) -> int:
    """Signal all processes of an instance, also those that they start meanwhile; return how many."""
    told: set[int] = set()
    deadline = time.monotonic() + patience
    while (left := find(folder)) and time.monotonic() < deadline:
        _signal([process for process in left if process.pid not in told], number)
        told |= {process.pid for process in left}
        psutil.wait_procs(left, timeout=_LOOK)
    return len(told)


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
