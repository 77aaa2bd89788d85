"""What servers of the Open Inference Protocol say of themselves."""

import time
from http import HTTPStatus
from typing import Final

import msgspec

from mlhub.common.errors import BackendError
from mlhub.workers.adapters.servers import ServerPool

_TRUSTED: Final = 30.0
"""Seconds for which a server is what it said: another kind may come in its place unnoticed."""


class _Server(msgspec.Struct):
    """The answer to `GET /v2`."""

    extensions: frozenset[str] = frozenset()


class _Known(msgspec.Struct, frozen=True):
    """What a server said, and how long to believe it."""

    extensions: frozenset[str]
    until: float
    losses: int
    """How often it had been lost by then."""


class Extensions:
    """Asks each server once in a while, since every ask costs a round trip."""

    def __init__(self, servers: ServerPool, timeout: float) -> None:
        self._servers = servers
        self._timeout = timeout
        self._known: dict[str, _Known] = {}

    def of(self, address: str) -> frozenset[str]:
        """Return the names of the protocol's extensions that a server has.

        Raises:
            NoConnectionError, BrokenError, BackendTimeoutError: it gives no answer.
            BackendError: it is no server of this protocol.
        """
        known = self._known.get(address)
        losses = self._servers.losses(address)
        if known is None or known.losses != losses or known.until < time.monotonic():
            answer = self._servers.connections.send(address, "GET", "/v2", b"", {}, self._timeout)
            if answer.status != HTTPStatus.OK:
                return frozenset()
            try:
                server = msgspec.json.decode(answer.body, type=_Server)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise BackendError(f"What answers at {address} is no Open Inference server.") from error
            known = _Known(server.extensions, time.monotonic() + _TRUSTED, losses)
            self._known[address] = known
        return known.extensions
