"""HTTP with a hub: one session with kept connections, its token, and careful repetition."""

import math
import os
import time
from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from types import MappingProxyType
from typing import Any, Final, Self

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.cookies import RequestsCookieJar

from mlhub import __version__
from mlhub.client import errors

_CONNECT: Final = 5.0
"""Seconds a connection may take to be made."""
_CONNECTIONS: Final = 64
"""Connections kept for threads that call at once; more are made and not kept."""
_BLOCK: Final = 256 * 1024
"""Bytes of an upload read and sent at once."""
_PAUSE: Final = 0.1
"""Seconds before the first repetition; each later pause is twice as long."""
_LONGEST_PAUSE: Final = 10.0
"""Seconds a hub may ask to wait before a repetition; if it asks for more, its error is raised at once."""

_BUSY: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
"""Statuses that ask to come back later."""


class Repeat(Enum):
    """When a call may be made again by itself."""

    UNSENT = "unsent"
    """Only when nothing of it reached the hub: it would do its work twice."""
    SAFE = "safe"
    """Also when the connection broke or the hub was busy: making it twice is the same as once."""
    NEVER = "never"
    """Not at all: the first answer is what is asked for, whatever it is."""


class BearerAuth(AuthBase):
    """Sends the token, and keeps a `.netrc` from replacing it."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Set the header, when there is a token."""
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class BlockAdapter(HTTPAdapter):
    """Sends files in larger pieces than the standard library does by itself."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pool with the larger size."""
        super().init_poolmanager(*args, blocksize=_BLOCK, **options)


class Transport:
    """Calls on one hub, from any number of threads."""

    def __init__(self, url: str, token: str | None, timeout: float, retries: int) -> None:
        self.url = url
        self.timeout = timeout
        self._retries = retries
        self._session = session = requests.Session()
        adapter = BlockAdapter(pool_connections=1, pool_maxsize=_CONNECTIONS)
        for scheme in ("http://", "https://"):
            session.mount(scheme, adapter)
        session.auth = BearerAuth(token)
        session.headers["User-Agent"] = f"mlhub/{__version__}"
        # Cookies are the one thing in a session that answers change; without them threads can share it.
        session.cookies = RequestsCookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
        # Proxies and certificates are looked up once, not at every call.
        session.trust_env = False
        session.proxies.update(requests.utils.get_environ_proxies(url))
        session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True

    def call(
        self,
        method: str,
        path: str,
        *,
        repeat: Repeat = Repeat.UNSENT,
        wait: float | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        **options: Any,
    ) -> requests.Response:
        """Make a call and return its answer, which is a success.

        Args:
            method: of HTTP.
            path: below the hub's address, or an address in full.
            repeat: when it may be made again by itself.
            wait: seconds that the hub may hold back its answer, until there is one.
            headers: of this call.
            options: as `requests` takes them.

        Raises:
            HubError: the hub answered with an error, or not at all.
        """
        url = path if "://" in path else self.url + path
        options["timeout"] = (min(_CONNECT, self.timeout), self.timeout + (wait or 0.0))
        options["headers"] = dict(headers)
        if wait is not None:
            # Whole seconds are all that the header can say (RFC 7240).
            options["headers"]["Prefer"] = f"wait={math.ceil(wait)}"
        for pause in self._pauses(repeat):
            try:
                response = self._session.request(method, url, **options)
            except requests.RequestException as error:
                if pause is None or not _is_repeatable(error, repeat):
                    raise errors.from_failure(error, self.url) from error
                seconds = pause
            else:
                if response.ok:
                    return response
                with response:
                    failure = errors.from_response(response)
                asked = _asked_pause(response, pause) if repeat is Repeat.SAFE else None
                if asked is None:
                    raise failure
                seconds = asked
            time.sleep(seconds)
        raise AssertionError("After the last attempt there is no pause.")

    def _pauses(self, repeat: Repeat) -> list[float | None]:
        """Return the seconds to wait after each attempt; there is nothing to wait for after the last."""
        count = 0 if repeat is Repeat.NEVER else self._retries
        return [*(_PAUSE * 2**attempt for attempt in range(count)), None]

    def close(self) -> None:
        """Close the kept connections."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def _is_repeatable(error: requests.RequestException, repeat: Repeat) -> bool:
    if errors.never_sent(error):
        return True
    return (
        repeat is Repeat.SAFE and isinstance(error, requests.ConnectionError) and not errors.timed_out(error)
    )


def _asked_pause(response: requests.Response, pause: float | None) -> float | None:
    """Return the seconds before a busy hub wants to be asked again; `None` when that is no use."""
    if pause is None or response.status_code not in _BUSY:
        return None
    asked = response.headers.get("Retry-After", "")
    seconds = float(asked) if asked.isascii() and asked.isdigit() else pause
    return seconds if seconds <= _LONGEST_PAUSE else None
