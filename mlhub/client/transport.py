"""HTTP to one hub: kept connections, the token, and new tries where they do no harm."""

import time
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter

from mlhub.client.errors import HubError, from_response

_TRIES: Final = 4
_BUSY: Final = (429, 503)
"""Statuses that ask to come back later."""
_SAFE: Final = frozenset({"GET", "HEAD", "PUT", "DELETE"})
"""Methods that mean the same the second time."""


class Transport:
    """Sends requests to a hub. May be used from several threads."""

    def __init__(self, url: str, token: str | None, timeout: float) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=32)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def send(
        self, method: str, path: str, *, again: bool | None = None, wait: float = 0.0, **options: Any
    ) -> requests.Response:
        """Send a request and return its good answer.

        Args:
            method: HTTP method.
            path: address below the hub's own, or a whole one.
            again: whether the request may be sent once more when no answer came; by its method if not given.
            wait: seconds for which the hub was asked to hold its answer back.
            options: passed to `requests`.

        Raises:
            HubError: the hub refused it, failed on it, or cannot be reached.
        """
        url = path if path.startswith("http") else self.url + path
        repeatable = method in _SAFE if again is None else again
        for attempt in range(1, _TRIES + 1):
            last = attempt == _TRIES or not repeatable
            try:
                response = self._session.request(method, url, timeout=(5, self._timeout + wait), **options)
            except requests.Timeout as error:
                raise HubError(f"The hub at {self.url} did not answer in time.", code="timeout") from error
            except requests.RequestException as error:
                if last:
                    raise self._unreachable() from error
                time.sleep(0.1 * 2**attempt)
                continue
            if response.ok or response.status_code == requests.codes.not_modified:
                return response
            if last or response.status_code not in _BUSY:
                raise from_response(response)
            time.sleep(_pause(response))
        raise self._unreachable()

    def _unreachable(self) -> HubError:
        return HubError(f"No hub answers at {self.url}; start one with 'mlhub up'.", code="unreachable")


def _pause(response: requests.Response) -> float:
    """Return how long the hub asks to be left alone, in seconds, within reason."""
    header = response.headers.get("Retry-After", "1")
    return min(float(header), 5.0) if header.isdigit() else 1.0
