"""The sign of life of a process of the API, with the numbers it counted."""

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Callable
from typing import Final

import msgspec

from mlhub.api.operations.failures import Failures
from mlhub.common import pulse
from mlhub.common.pulse import API, INTERVAL, Pulse, Vitals
from mlhub.common.tally import Reading, Tally

_KIND: Final = "api"


class Beat:
    """Gives a sign of life every few seconds, as long as the process serves."""

    def __init__(self, tally: Tally, failures: Failures, send: Callable[[bytes], None]) -> None:
        """Remember how to send it.

        Args:
            tally: numbers of the process.
            failures: its latest failures.
            send: sends it, if there is a connection.
        """
        self.name: Final = f"{_KIND}.{os.getpid()}.{secrets.token_hex(2)}@{socket.gethostname()}"
        """Name of this process."""
        self._tally = tally
        self._failures = failures
        self._send = send
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; called on the event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def read(self) -> list[Reading]:
        """Return this process's numbers, as they are now."""
        return self._tally.read()

    def pulse(self) -> Pulse:
        """Return the sign of life."""
        vitals = Vitals(
            kind=_KIND,
            memory=pulse.memory(),
            started=pulse.STARTED,
            readings=tuple(self.read()),
            failures=self._failures.latest,
        )
        return Pulse(type=API, hostname=self.name, pid=os.getpid(), mlhub=vitals)

    async def _run(self) -> None:
        while True:
            self._send(msgspec.json.encode(self.pulse()))
            await asyncio.sleep(INTERVAL)
