"""Signs of life: what processes say of themselves every few seconds, on the exchange of Celery's events.

Workers send Celery's own heartbeat with more in it, so that Celery's monitors understand it too. Processes
of the API send one of the same form.
"""

import os
import time
from pathlib import Path
from typing import Final

import msgspec

from mlhub.common.tally import Reading

INTERVAL: Final = 2.0
"""Seconds between two signs of life of a process."""
ONLINE: Final = "worker-online"
OFFLINE: Final = "worker-offline"
"""Types of the first and the last one of a worker."""
API: Final = "api-heartbeat"
"""Type of those of the API's processes."""

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Failure(msgspec.Struct, frozen=True):
    """A request that failed."""

    time: float
    """When, in seconds since 1970."""
    method: str
    path: str
    status: int
    code: str
    detail: str
    request: str
    """Its id, under which the log has more."""


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """What the hub's processes say besides what Celery's workers say."""

    backend: str = ""
    kind: str = ""
    """`predict` or `jobs`; `api` for a process of the API."""
    concurrency: int = 0
    """Threads that work on messages."""
    memory: int | None = None
    """Bytes of memory that the process holds."""
    started: float = 0.0
    """When the process started, in seconds since 1970."""
    readings: tuple[Reading, ...] = ()
    """Where the numbers stand that it counts."""
    failures: tuple[Failure, ...] = ()
    """The latest requests that failed."""


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """A sign of life, as it is sent."""

    type: str
    hostname: str
    """Name of the process: what it does, its id, and `@` its host."""
    pid: int = 0
    freq: float = INTERVAL
    """Seconds until the next one."""
    active: int = 0
    """Messages it works on."""
    processed: int = 0
    """Messages it has begun."""
    mlhub: Vitals | None = None
    """Nothing when a worker of something else is on the same broker."""


def memory() -> int | None:
    """Return the bytes of memory that this process holds; nothing where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return None


STARTED: Final = time.time()
"""When this process began, near enough."""
