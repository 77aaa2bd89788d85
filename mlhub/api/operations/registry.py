"""The processes that live: each is known by its signs of life, and forgotten when these end."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from mlhub.common.operations import WorkerState
from mlhub.common.pulse import API, INTERVAL, OFFLINE, Pulse

_LOG = logging.getLogger(__name__)

_MISSED: Final = 4
"""Signs of life that a process may leave out before it is taken for dead."""
_ALL_HEARD: Final = INTERVAL * 1.25
"""Seconds after which each process that lives has given one."""
_PULSE: Final = msgspec.json.Decoder(Pulse)


class Seen(msgspec.Struct, frozen=True):
    """The last sign of life of a process."""

    pulse: Pulse
    time: float
    """When it came, by the event loop's clock."""


class Registry:
    """The workers and API processes that live; everything happens on the event loop."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}
        self._listening_since: float | None = None

    def connected(self) -> None:
        """Begin to listen: what is heard is complete after a while."""
        self._listening_since = asyncio.get_running_loop().time()

    def disconnected(self) -> None:
        """Forget everything: nothing is heard."""
        self._listening_since = None
        self._seen.clear()

    def heard(self, body: bytes | str) -> None:
        """Take note of a sign of life; whatever else comes over the exchange for events means nothing."""
        try:
            pulse = _PULSE.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            _LOG.debug("no sign of life of the hub: %r", body[:200])
            return
        if pulse.type == OFFLINE:
            self._seen.pop(pulse.hostname, None)
        elif pulse.mlhub is not None:
            self._seen[pulse.hostname] = Seen(pulse, asyncio.get_running_loop().time())

    @property
    def listening(self) -> bool:
        """Whether signs of life are heard."""
        return self._listening_since is not None

    async def settled(self) -> None:
        """Wait until all that live have been heard, if listening began only just now."""
        since = self._listening_since
        if since is not None:
            await asyncio.sleep(max(0.0, since + _ALL_HEARD - asyncio.get_running_loop().time()))

    def pulses(self) -> list[Seen]:
        """Return the last sign of life of all that live, by name."""
        time = asyncio.get_running_loop().time()
        for name, seen in list(self._seen.items()):
            if time - seen.time > _MISSED * seen.pulse.freq:
                del self._seen[name]
        return [seen for _, seen in sorted(self._seen.items())]

    def workers(self) -> list[WorkerState]:
        """Return the workers that live, by name."""
        now, time = datetime.now(UTC), asyncio.get_running_loop().time()
        return [_worker(seen, now, time) for seen in self.pulses() if seen.pulse.type != API]


def _worker(seen: Seen, now: datetime, time: float) -> WorkerState:
    pulse = seen.pulse
    vitals = pulse.mlhub
    assert vitals is not None  # noqa: S101 (only such are kept)
    return WorkerState(
        name=pulse.hostname,
        backend=vitals.backend,
        kind=vitals.kind,
        host=pulse.hostname.rpartition("@")[2],
        pid=pulse.pid,
        concurrency=vitals.concurrency,
        active=pulse.active,
        processed=pulse.processed,
        memory=vitals.memory,
        started_at=datetime.fromtimestamp(vitals.started, UTC),
        # By this clock: that of the worker's host may be another.
        last_heartbeat=now - timedelta(seconds=time - seen.time),
    )
