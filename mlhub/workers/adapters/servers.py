"""The model servers of one backend: which to ask, and what their silence means."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from itertools import count
from typing import Final

import msgspec

from mlhub.common.backend import BackendSettings
from mlhub.common.errors import BackendTimeoutError, BackendUnreachableError
from mlhub.workers.adapters.connection import (
    Answer,
    BrokenError,
    Connections,
    Data,
    NoConnectionError,
)

_LOG = logging.getLogger(__name__)

_REST: Final = 2.0
"""Seconds that a server which gave no answer is left alone, while another one can be asked."""
_LONGEST_REST: Final = 30.0
"""The same for one that gave none again and again: the pause doubles each time."""
_BUSY: Final = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)
"""Answers that say no more than that another server should be asked."""
_BREAKS: Final = 2
"""How often a call may break its connection and still be tried again."""

Body = Callable[[str], tuple[Data, Mapping[str, str]]]
"""Makes body and headers for the server at an address."""


class ClosedError(BackendUnreachableError):
    """The connection to a server that could be reached was closed again and again, without an answer."""


class Call(msgspec.Struct, frozen=True):
    """What is asked of a server. It may reach a server twice, so it must be one that does no harm then."""

    method: str
    path: str
    timeout: float
    """Seconds within which the answer must be complete."""
    body: Body = lambda _address: (b"", {})


class _Rest(msgspec.Struct):
    """How long a server is left alone."""

    until: float = 0.0
    """Time of the monotonic clock at which it may be asked again; zero for one that is well."""
    pause: float = _REST
    """Seconds of the next rest."""


class ServerPool:
    """Spreads calls over servers that can all answer them; skips for a while those that just did not."""

    def __init__(self, settings: BackendSettings) -> None:
        self.addresses = settings.addresses
        self.connections = Connections(settings)
        self._rests = {address: _Rest() for address in self.addresses}
        self._losses = dict.fromkeys(self.addresses, 0)
        self._lock = threading.Lock()
        self._turn = count()

    def ask(self, call: Call, address: str | None = None) -> Answer:
        """Ask the servers in turn until one answers, or only the one at `address`.

        Raises:
            BackendUnreachableError: none can be reached, or the connection broke again and again.
            BackendTimeoutError: one took longer than the call's timeout.
            BackendError: what one answered is not HTTP.
        """
        candidates = self._order() if address is None else [address]
        waiting = deque(candidates)
        breaks = 0
        busy: Answer | None = None
        failure: Exception | None = None
        while waiting:
            candidate = waiting.popleft()
            try:
                answer = self._send(candidate, call)
            except BrokenError as error:
                # A server may close a kept connection at the moment it is used, so a new one is tried once;
                # it may just have died, so another server is tried once. But a request that kills its
                # server must not be put to all of them.
                breaks += 1
                if breaks == 1:
                    self.connections.drop()
                    waiting.appendleft(candidate)
                    continue
                self._lose(candidate, error)
                if breaks > _BREAKS or not waiting:
                    raise ClosedError(
                        f"The model server at {candidate} closed the connection without an answer."
                    ) from error
            except NoConnectionError as error:
                self._lose(candidate, error)
                failure = error
            else:
                if answer.status not in _BUSY:
                    self._rests[candidate] = _Rest()
                    return answer
                self._rests[candidate].until = time.monotonic() + _REST
                busy = answer
        if busy is not None:
            return busy
        raise BackendUnreachableError(
            f"The model server at {' and '.join(candidates)} cannot be reached; is it running?"
        ) from failure

    def ask_all(self, call: Call) -> list[Answer]:
        """Ask every server; return the answers of those that can be reached.

        Raises:
            BackendUnreachableError: none can.
            BackendTimeoutError: one took longer than the call's timeout.
            BackendError: what one answered is not HTTP.
        """
        answers: list[Answer] = []
        failure: BackendUnreachableError | None = None
        for address in self.addresses:
            try:
                answers.append(self.ask(call, address))
            except BackendUnreachableError as error:
                failure = error
        if failure is not None and not answers:
            raise failure
        return answers

    def losses(self, address: str) -> int:
        """Return how often a server was lost: after a loss, another may stand in its place."""
        return self._losses[address]

    def _send(self, address: str, call: Call) -> Answer:
        data, headers = call.body(address)
        try:
            return self.connections.send(address, call.method, call.path, data, headers, call.timeout)
        except BackendTimeoutError as error:
            self._lose(address, error)
            raise

    def _lose(self, address: str, error: Exception) -> None:
        rest = self._rests[address]
        time_now = time.monotonic()
        with self._lock:
            self._losses[address] += 1
            if rest.until > time_now:
                # Said once, and not for each of the calls that meet the same.
                return
            rest.until = time_now + rest.pause
            rest.pause = min(2 * rest.pause, _LONGEST_REST)
        _LOG.warning("model server %s: %s", address, error)

    def _order(self) -> Sequence[str]:
        """Return the addresses in the order to try them: in turn, those that rest last."""
        if len(self.addresses) == 1:
            return self.addresses
        start = next(self._turn) % len(self.addresses)
        turned = self.addresses[start:] + self.addresses[:start]
        if not any(rest.until for rest in self._rests.values()):
            return turned
        return sorted(turned, key=self._rank)

    def _rank(self, address: str) -> int:
        """Rank a server: first one whose rest is over, which this call alone tries; last those that rest."""
        rest = self._rests[address]
        with self._lock:
            if not rest.until:
                return 1
            time_now = time.monotonic()
            if rest.until > time_now:
                return 2
            rest.until = time_now + rest.pause
            return 0
