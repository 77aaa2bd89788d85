"""The Python client: a hub's calls as methods."""

import os
from typing import Final, Self

from mlhub.client.address import base_url
from mlhub.client.catalogue import Catalogue
from mlhub.client.operations import Operations
from mlhub.client.predictions import Predictions
from mlhub.client.transport import Transport

DEFAULT_URL: Final = "http://127.0.0.1:8181"
URL_VARIABLE: Final = "MLHUB_URL"
TOKEN_VARIABLE: Final = "MLHUB_TOKEN"  # noqa: S105 - the name of a variable, not a secret


class Client(Catalogue, Predictions, Operations):
    """A hub, as seen from Python; any number of threads may share one.

    Every method raises `HubError` when the hub refuses, fails or does not answer. Calls that can be made
    twice without harm are repeated by themselves when the connection breaks or the hub is busy.

    Args:
        url: address of the hub; `MLHUB_URL`, or else this machine's.
        token: its token; `MLHUB_TOKEN`, or else none.
        timeout: seconds to wait for an answer, beyond those the hub is asked to take.
        retries: how often a call may be repeated.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, timeout: float = 60.0, retries: int = 3
    ) -> None:
        self.url = base_url(url or os.environ.get(URL_VARIABLE) or DEFAULT_URL)
        """Address of the hub."""
        self._http = Transport(self.url, token or os.environ.get(TOKEN_VARIABLE), timeout, retries)

    def close(self) -> None:
        """Close the connections; the client can still be used and makes new ones."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
