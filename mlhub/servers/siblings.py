"""What the processes behind one port tell each other of their numbers, since only one of them is asked.

Each keeps its own in a file of a folder that they share, anew every few seconds, as the processes of the API
give their signs of life.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from mlhub.common.pulse import INTERVAL
from mlhub.common.tally import Reading

_LOG = logging.getLogger(__name__)

_GONE: Final = 4 * INTERVAL
"""Seconds without a sign of life after which a process is taken for dead."""
_ENDING: Final = ".readings"


class Counted(msgspec.Struct, frozen=True):
    """What is in such a file."""

    name: str
    """Of the process."""
    readings: tuple[Reading, ...]


_COUNTED: Final = msgspec.msgpack.Decoder(Counted)


class Siblings:
    """The processes behind one port, this one included; Falcon's middleware."""

    def __init__(self, kind: str, folder: Path | None, read: Callable[[], Sequence[Reading]]) -> None:
        """Remember what to tell.

        Args:
            kind: begins the names of the processes.
            folder: shared by them; nothing when there is one.
            read: returns where this process's numbers stand.
        """
        self._name = f"{kind}.{os.getpid()}@{socket.gethostname()}"
        self._file = None if folder is None else folder / f"{os.getpid()}{_ENDING}"
        self._read = read
        self._telling: asyncio.Task[None] | None = None

    async def process_startup(self, scope: object, event: object) -> None:
        """Begin to tell; Falcon calls this when the process starts."""
        del scope, event
        if self._file is not None:
            self._telling = asyncio.create_task(self._tell_again_and_again(self._file))

    async def process_shutdown(self, scope: object, event: object) -> None:
        """Be counted no more; Falcon calls this when the process ends."""
        del scope, event
        if self._telling is not None and self._file is not None:
            self._telling.cancel()
            self._file.unlink(missing_ok=True)

    def all(self) -> dict[str, Sequence[Reading]]:
        """Return where the numbers of all processes stand, by name: its own now, others' as they told."""
        found: dict[str, Sequence[Reading]] = {}
        if self._file is not None:
            for file in self._file.parent.glob(f"*{_ENDING}"):
                counted = _recent(file)
                if counted is not None:
                    found[counted.name] = counted.readings
        return found | {self._name: self._read()}

    async def _tell_again_and_again(self, file: Path) -> None:
        while True:
            counted = Counted(self._name, tuple(self._read()))
            try:
                await asyncio.to_thread(_replace, file, msgspec.msgpack.encode(counted))
            except OSError as error:
                _LOG.debug("the other processes do not learn of this one's numbers: %s", error)
            await asyncio.sleep(INTERVAL)


def _replace(file: Path, content: bytes) -> None:
    """Write a file that others may read at any moment."""
    new = file.with_suffix(".new")
    new.write_bytes(content)
    new.replace(file)


def _recent(file: Path) -> Counted | None:
    """Read a file; nothing when its process is gone, or of another version of the hub."""
    try:
        if time.time() - file.stat().st_mtime > _GONE:
            return None
        return _COUNTED.decode(file.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
