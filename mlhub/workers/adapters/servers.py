"""The model servers of one backend: which to ask, and what their silence means."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Final

import msgspec
import requests
from requests.adapters import HTTPAdapter

from mlhub.common.errors import BackendError, BackendTimeoutError, BackendUnreachableError

_CONNECT: Final = 2.0
"""Seconds that connecting may take."""
_REST: Final = 2.0
"""Seconds that a server which could not be reached is left alone, while another one can."""

Body = Callable[[str], tuple[bytes, dict[str, str]]]
"""Makes body and headers for the server at an address."""


class Answer(msgspec.Struct, frozen=True):
    """What a server answered."""

    address: str
    status: int
    headers: Mapping[str, str]
    body: bytes


class ServerPool:
    """Spreads calls over servers that can all answer them; skips those that were just unreachable.

    Sessions are kept per thread, so connections are too. A call that got no answer because its server
    could not be reached, or went away, is put to the next one: all calls of adapters may be repeated.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = tuple(address.rstrip("/") for address in addresses)
        self._resting: dict[str, float] = {}
        self._turn = count()
        self._local = threading.local()

    def get(self, path: str, timeout: float, address: str | None = None) -> Answer:
        """Call with GET; on one server when `address` names it.

        Raises:
            BackendUnreachableError: no server can be reached.
            BackendTimeoutError: the server took longer than `timeout` seconds.
        """
        return self._call("GET", path, lambda _address: (b"", {}), timeout, address)

    def post(self, path: str, body: Body, timeout: float, address: str | None = None) -> Answer:
        """Call with POST; on one server when `address` names it.

        Raises:
            BackendUnreachableError: no server can be reached.
            BackendTimeoutError: the server took longer than `timeout` seconds.
        """
        return self._call("POST", path, body, timeout, address)

    def _call(self, method: str, path: str, body: Body, timeout: float, address: str | None) -> Answer:
        candidates = self._order() if address is None else [address.rstrip("/")]
        failure: Exception | None = None
        for candidate in candidates:
            # A kept connection may have been closed by a server that is well, so each gets a second try.
            for _ in range(2):
                try:
                    return self._ask(candidate, method, path, body, timeout)
                except requests.ConnectTimeout as error:
                    failure = error
                    break
                except requests.Timeout as error:
                    raise BackendTimeoutError(
                        f"The model server did not answer within {timeout:g} seconds."
                    ) from error
                except requests.ConnectionError as error:
                    failure = error
                except requests.RequestException as error:
                    raise BackendError("The model server's answer could not be read.") from error
            self._resting[candidate] = time.monotonic() + _REST
        raise BackendUnreachableError(
            f"The model server at {' and '.join(candidates)} cannot be reached; is it running?"
        ) from failure

    def _ask(self, address: str, method: str, path: str, body: Body, timeout: float) -> Answer:
        data, headers = body(address)
        response = self._session().request(
            method,
            address + path,
            data=data,
            headers=headers,
            timeout=(_CONNECT, timeout),
            allow_redirects=False,
        )
        return Answer(address, response.status_code, response.headers, response.content)

    def _order(self) -> list[str]:
        """Return the addresses in the order to try them: in turn, those that rest last."""
        if len(self._addresses) == 1:
            return list(self._addresses)
        start = next(self._turn) % len(self._addresses)
        turned = self._addresses[start:] + self._addresses[:start]
        time_now = time.monotonic()
        return sorted(turned, key=lambda address: self._resting.get(address, 0.0) > time_now)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            # Proxies and .netrc are for the world outside; looking for them costs on every call.
            session.trust_env = False
            adapter = HTTPAdapter(pool_connections=len(self._addresses), pool_maxsize=1)
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            self._local.session = session
        return session
