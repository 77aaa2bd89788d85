"""What all calls of the client have in common: the connection, lists in pages, and downloads."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final, TypeVar

import requests

from mlhub.client.address import next_url
from mlhub.client.bundle import Fetch
from mlhub.client.records import read
from mlhub.client.transport import Repeat, Transport

T = TypeVar("T")

JSON: Final = {"Content-Type": "application/json"}
"""Headers of a body of JSON."""
_PAGE: Final = 200
"""Entries asked for at once when a list is read through."""


class Calls:
    """Calls on a hub; each part of the client is one."""

    _http: Transport

    def _list(
        self, path: str, kind: type[T], filters: Mapping[str, str | None], limit: int | None
    ) -> Iterator[T]:
        size = _PAGE if limit is None else max(1, min(limit, _PAGE))
        parameters = {name: value for name, value in filters.items() if value is not None}
        return islice(self._pages(path, kind, parameters | {"limit": str(size)}), limit)

    def _pages(self, path: str, kind: type[T], parameters: dict[str, str]) -> Iterator[T]:
        response = self._http.call("GET", path, params=parameters, repeat=Repeat.SAFE)
        while True:
            yield from read(response, list[kind])  # type: ignore[valid-type]
            if "next" not in response.links:
                return
            following = next_url(response.url, response.links["next"]["url"])
            response = self._http.call("GET", following, repeat=Repeat.SAFE)

    def _fetch(self, address: str, accept: str = "*/*") -> Fetch:
        """Return what asks for a download, or with further headers for a part of it."""
        # Compressed on the way, the bytes would not be those that were uploaded.
        headers = {"Accept-Encoding": "identity", "Accept": accept}

        def fetch(further: dict[str, str]) -> requests.Response:
            return self._http.call("GET", address, repeat=Repeat.SAFE, stream=True, headers=headers | further)

        return fetch
