"""Kept connections to model servers, and what it means when one fails."""

import http.client
import random
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from typing import Final
from urllib.parse import urlsplit

import msgspec
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    IncompleteRead,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)
from urllib3.response import HTTPResponse

from mlhub.common import logs, tracecontext
from mlhub.common.backend import BackendSettings
from mlhub.common.errors import BackendError, BackendTimeoutError
from mlhub.common.logs import REQUEST_ID
from mlhub.common.settings import SettingsError
from mlhub.common.tracing import TRACEPARENT
from mlhub.workers.adapters import credentials
from mlhub.workers.adapters.credentials import Credentials

_PIECE: Final = 1024 * 1024
_LIFE: Final = (20.0, 40.0)
"""Seconds after which a connection is made anew, by chance: servers that are new at an address get some."""
_LARGEST: Final = 512 * 1024 * 1024
"""Bytes an answer may have; a server gone mad must not fill the memory of a worker."""

Data = bytes | Iterable[bytes]
"""The body of a request; one in pieces needs a `Content-Length` among its headers."""


class Answer(msgspec.Struct, frozen=True):
    """What a server answered."""

    address: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    conceal: Callable[[str], str] = str
    """Takes out of a text what must not be repeated of it."""


class NoConnectionError(Exception):
    """There is no connection to the server."""


class BrokenError(Exception):
    """The connection ended before the answer did."""


class Connections:
    """Connections to the servers of one backend: one a server and thread, kept between calls.

    It is urllib3's connection alone. Its pools, and requests' sessions, retry, redirect and keep cookies,
    which has no use here and costs more than half of the time of a small call.
    """

    def __init__(self, settings: BackendSettings) -> None:
        self._connect_timeout = settings.connect_timeout
        self._credentials: Credentials | None = None
        if settings.credentials is not None:
            credentials.check(settings.credentials)
            self._credentials = Credentials(settings.credentials)
        self._ca_file = None if settings.ca_file is None else str(settings.ca_file)
        if settings.ca_file is not None and not settings.ca_file.is_file():
            raise SettingsError("The file that 'ca_file' of a backend names is not there.")
        self._local = threading.local()

    def send(
        self, address: str, method: str, path: str, data: Data, headers: Mapping[str, str], timeout: float
    ) -> Answer:
        """Send one request and read its answer.

        Args:
            address: base address of the server.
            method: of HTTP.
            path: begins with a slash.
            data: the body; empty means none.
            headers: without those that say who we are.
            timeout: seconds within which the answer must be complete.

        Raises:
            NoConnectionError: there is no connection to the server.
            BrokenError: it broke before the answer's end.
            BackendTimeoutError: the server is too slow.
            BackendError: its answer is not HTTP.
        """
        if self._credentials is not None:
            headers = {**headers, "Authorization": self._credentials.header()}
        if ids := logs.portable(REQUEST_ID.get()):
            headers = {**headers, logs.HEADER: ids}
        if context := TRACEPARENT.get():
            headers = {**headers, **tracecontext.headers(context)}
        connection, prefix = self._connected(address)
        deadline = time.monotonic() + timeout
        connection.timeout = timeout
        try:
            # It may close its end without reading on; its answer, that the body is too large for instance, is
            # there all the same.
            with suppress(BrokenPipeError):
                connection.request(method, prefix + path, data or None, headers, preload_content=False)
            response = connection.getresponse()
            body = _read(response, deadline)
        except (OSError, HTTPError, http.client.HTTPException) as error:
            connection.close()
            raise _meaning(error, address, timeout, late=time.monotonic() >= deadline) from error
        except BaseException:
            # What is left of the answer must not meet the next request.
            connection.close()
            raise
        if response.headers.get("Connection", "").lower() == "close":
            connection.close()
        conceal = str if self._credentials is None else self._credentials.conceal
        return Answer(address, response.status, response.headers, body, conceal)

    def drop(self) -> None:
        """Close this thread's connections; they were kept too long."""
        _close(self._mine().kept)

    def _connected(self, address: str) -> tuple[HTTPConnection, str]:
        mine = self._mine()
        known = mine.kept.get(address)
        if known is None:
            known = mine.kept[address] = self._new(address)
        connection = known[0]
        if not connection.is_connected or mine.until[address] < time.monotonic():
            # Also one that the server closed while nobody used it.
            connection.close()
            mine.until[address] = time.monotonic() + random.uniform(*_LIFE)  # noqa: S311 (spreads load)
            connection.timeout = self._connect_timeout
            try:
                connection.connect()
            except (NewConnectionError, ConnectTimeoutError, OSError) as error:
                connection.close()
                raise NoConnectionError(str(error)) from error
        return known

    def _new(self, address: str) -> tuple[HTTPConnection, str]:
        parts = urlsplit(address)
        host = parts.hostname or ""
        if parts.scheme == "https":
            secure = ssl.create_default_context(cafile=self._ca_file)
            return HTTPSConnection(host, parts.port, ssl_context=secure), parts.path
        return HTTPConnection(host, parts.port), parts.path

    def _mine(self) -> "_ThreadsOwn":
        mine: _ThreadsOwn | None = getattr(self._local, "own", None)
        if mine is None:
            mine = self._local.own = _ThreadsOwn()
        return mine


class _ThreadsOwn:
    """The connections of one thread, each with the path of its address; closed when the thread ends."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[HTTPConnection, str]] = {}
        self.until: dict[str, float] = {}
        """When each is to be made anew, by the monotonic clock."""
        # A method `__del__` would come too late where all of it is part of a cycle.
        weakref.finalize(self, _close, self.kept)


def _close(kept: dict[str, tuple[HTTPConnection, str]]) -> None:
    for connection, _ in kept.values():
        connection.close()


def _read(response: HTTPResponse, deadline: float) -> bytes:
    pieces = []
    size = 0
    # Where the server closes after its answer, nothing but the answer holds the socket any more.
    with closing(response):
        while piece := response.read1(_PIECE):
            pieces.append(piece)
            size += len(piece)
            if size > _LARGEST:
                raise BackendError("The model server's answer does not end.")
            if time.monotonic() > deadline:
                raise TimeoutError
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _meaning(error: Exception, address: str, timeout: float, *, late: bool) -> Exception:
    """Tell what it means that a request failed on its connection: slow, broken, or not HTTP at all."""
    if late or isinstance(error, TimeoutError | ReadTimeoutError):
        return BackendTimeoutError(f"The model server did not answer within {timeout:g} seconds.")
    reason = error.args[-1] if isinstance(error, ProtocolError) and error.args else error
    # What a closed connection raises is both.
    broken = isinstance(reason, OSError | IncompleteRead | http.client.IncompleteRead)
    if broken or (isinstance(error, ProtocolError) and not isinstance(reason, http.client.HTTPException)):
        return BrokenError(str(error))
    return BackendError(f"What answers at {address} does not speak HTTP as it should.")
