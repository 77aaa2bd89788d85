"""What the parts of a contestant take while it is under load: processor time and memory."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import msgspec
import psutil

MIB: Final = 1024 * 1024

Parts = Mapping[str, list[psutil.Process]]
"""The processes of a contestant by the part that they are of."""


class Usage(msgspec.Struct, frozen=True):
    """What one part took during a measurement."""

    part: str
    cpu: float
    """Cores that it kept busy, on average."""
    memory: float
    """MiB at the end; what processes share is counted once."""


class Meter:
    """Filled when the measurement ends."""

    def __init__(self) -> None:
        self.usage: tuple[Usage, ...] = ()


@contextmanager
def metered(find: Callable[[], Parts]) -> Iterator[Meter]:
    """Measure what happens inside the block; processes that end meanwhile count until the start of it."""
    meter = Meter()
    parts = find()
    before = {part: sum(map(_cpu, processes)) for part, processes in parts.items()}
    started = time.monotonic()
    yield meter
    seconds = time.monotonic() - started
    meter.usage = tuple(
        Usage(part, max(0.0, sum(map(_cpu, processes)) - before[part]) / seconds, memory(processes))
        for part, processes in parts.items()
    )


def memory(processes: list[psutil.Process]) -> float:
    """Return the MiB that processes have in memory, with shared pages divided among those that share them."""
    return sum(map(_memory, processes)) / MIB


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and all that descend from it; none when it is gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0
