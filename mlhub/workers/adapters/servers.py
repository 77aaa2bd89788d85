"""The model servers of one backend: which to ask, and what their silence means."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPException, IncompleteRead
from itertools import count
from typing import Final

import msgspec
import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import MaxRetryError, ProtocolError

from mlhub.common.errors import BackendError, BackendTimeoutError, BackendUnreachableError

_LOG = logging.getLogger(__name__)

_CONNECT: Final = 2.0
"""Seconds that connecting may take."""
_REST: Final = 2.0
"""Seconds that a server which gave no answer is left alone, while another one can be asked."""
_TRUSTED: Final = 30.0
"""Seconds for which a server is what it said: another kind may come in its place unnoticed."""
_PIECE: Final = 1024 * 1024
_LARGEST: Final = 512 * 1024 * 1024
"""Bytes an answer may have; a server gone mad must not fill the memory of a worker."""
_BUSY: Final = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)
"""Answers that say no more than that another server should be asked."""

Body = Callable[[bool], tuple[bytes, dict[str, str]]]
"""Makes body and headers, given whether the server has the extension that was asked for."""


class Answer(msgspec.Struct, frozen=True):
    """What a server answered."""

    address: str
    status: int
    headers: Mapping[str, str]
    body: bytes


class Call(msgspec.Struct, frozen=True):
    """What is asked of a server. It may reach a server twice, so it must be one that does no harm then."""

    method: str
    path: str
    timeout: float
    """Seconds within which the answer must begin, and any part of it follow another."""
    body: Body = lambda _extended: (b"", {})
    extension: str = ""
    """Extension of the protocol on which the body depends."""


_BREAKS: Final = 2
"""How often a call may break its connection and still be tried again."""


class _BrokenError(Exception):
    """The connection ended before the answer did."""


class ServerPool:
    """Spreads calls over servers that can all answer them; skips for a while those that just did not.

    Connections are kept per thread. Calls go through requests' transport adapter without its sessions:
    cookies, redirects and proxies have no use here, and cost more than half of the time of a small call.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = tuple(address.rstrip("/") for address in addresses)
        self._rest_until: dict[str, float] = {}
        self._extensions: dict[str, _Known] = {}
        """What each server says of itself, until it is lost."""
        self._turn = count()
        self._local = threading.local()

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
                answer = self._try(candidate, call)
            except _BrokenError as error:
                # A server may close a kept connection at the moment it is used, so a new one is tried once;
                # it may just have died, so another server is tried once. But a request that kills its
                # server must not be put to all of them.
                breaks += 1
                if breaks == 1:
                    self._transport().close()
                    waiting.appendleft(candidate)
                    continue
                self._lose(candidate, error)
                if breaks > _BREAKS or not waiting:
                    raise BackendUnreachableError(
                        f"The model server at {candidate} closed the connection without an answer."
                    ) from error
            except requests.ConnectionError as error:
                self._lose(candidate, error)
                failure = error
            else:
                if answer.status not in _BUSY:
                    return answer
                self._rest_until[candidate] = time.monotonic() + _REST
                busy = answer
        if busy is not None:
            return busy
        raise BackendUnreachableError(
            f"The model server at {' and '.join(candidates)} cannot be reached; is it running?"
        ) from failure

    def _try(self, address: str, call: Call) -> Answer:
        extended = bool(call.extension) and call.extension in self._extensions_of(address, call.timeout)
        data, headers = call.body(extended)
        return self._send(address, call.method, call.path, data, headers, call.timeout)

    def _extensions_of(self, address: str, timeout: float) -> Sequence[str]:
        known = self._extensions.get(address)
        if known is None or known.until < time.monotonic():
            answer = self._send(address, "GET", "/v2", b"", {}, timeout)
            if answer.status != HTTPStatus.OK:
                return ()
            try:
                server = msgspec.json.decode(answer.body, type=_Server)
            except msgspec.DecodeError as error:
                raise BackendError(f"What answers at {address} is no Open Inference server.") from error
            known = self._extensions[address] = _Known(server.extensions, time.monotonic() + _TRUSTED)
        return known.extensions

    def _send(
        self, address: str, method: str, path: str, data: bytes, headers: dict[str, str], timeout: float
    ) -> Answer:
        """Send one request and read its answer.

        Raises:
            requests.ConnectionError: there is no connection to the server.
            _BrokenError: it broke before the answer's end.
            BackendTimeoutError: the server is too slow.
            BackendError: its answer is not HTTP.
        """
        request = requests.PreparedRequest()
        request.method = method
        request.url = address + path
        request.headers = CaseInsensitiveDict(headers)
        if data:
            request.headers["Content-Length"] = str(len(data))
            request.body = data
        started = time.monotonic()
        try:
            response = self._transport().send(request, stream=True, timeout=(_CONNECT, timeout))
            body = _read(response)
        except requests.RequestException as error:
            if error.args and isinstance(error.args[0], MaxRetryError):
                # It was never connected.
                raise
            if isinstance(error, requests.Timeout) or time.monotonic() - started >= timeout:
                self._lose(address, error)
                raise BackendTimeoutError(
                    f"The model server did not answer within {timeout:g} seconds."
                ) from error
            raise _meaning(error, address) from error
        return Answer(address, response.status_code, response.headers, body)

    def _lose(self, address: str, error: Exception) -> None:
        time_now = time.monotonic()
        if self._rest_until.get(address, 0.0) < time_now:
            # Said once, and not for each of the calls that meet the same.
            _LOG.warning("model server %s: %s", address, error)
        self._rest_until[address] = time_now + _REST
        self._extensions.pop(address, None)

    def _order(self) -> Sequence[str]:
        """Return the addresses in the order to try them: in turn, those that rest last."""
        if len(self.addresses) == 1:
            return self.addresses
        start = next(self._turn) % len(self.addresses)
        turned = self.addresses[start:] + self.addresses[:start]
        time_now = time.monotonic()
        return sorted(turned, key=lambda address: self._rest_until.get(address, 0.0) > time_now)

    def _transport(self) -> HTTPAdapter:
        transport: HTTPAdapter | None = getattr(self._local, "transport", None)
        if transport is None:
            transport = HTTPAdapter(pool_connections=len(self.addresses), pool_maxsize=1)
            self._local.transport = transport
        return transport


class _Server(msgspec.Struct):
    """What a server says of itself."""

    extensions: tuple[str, ...] = ()


class _Known(msgspec.Struct, frozen=True):
    """The same, and how long to believe it."""

    extensions: tuple[str, ...]
    until: float


def _read(response: requests.Response) -> bytes:
    pieces = []
    size = 0
    for piece in response.iter_content(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > _LARGEST:
            response.close()
            raise requests.exceptions.ContentDecodingError("The answer does not end.")
    return b"".join(pieces)


def _meaning(error: requests.RequestException, address: str) -> Exception:
    """Tell what it means that a request failed on a connection: that it broke, or that this is no HTTP."""
    cause = error.args[0] if error.args else None
    reason = cause.args[-1] if isinstance(cause, ProtocolError) else cause
    # What a closed connection raises is both.
    no_http = isinstance(reason, HTTPException) and not isinstance(reason, OSError | IncompleteRead)
    broken = isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError)
    if broken and not no_http:
        return _BrokenError(str(error))
    return BackendError(f"What answers at {address} does not speak HTTP as it should.")
