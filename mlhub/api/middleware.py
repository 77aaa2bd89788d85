"""What happens to every request: an id for it, and a look at its token."""

import itertools
import re
import secrets
from typing import Final

import falcon.asgi

from mlhub.common.errors import UnauthenticatedError
from mlhub.common.logs import HEADER, REQUEST_ID

_SANE: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_OPEN: Final = ("/health/", "/v2/health/", "/pages/")
"""Addresses that need no token: load balancers and probes have none, and pages ask for it."""
_PAGES: Final = ("/monitor", "/docs")


class RequestId:
    """Gives every request an id, the client's own when it sends a sane one, and returns it."""

    def __init__(self) -> None:
        # Chance once a process, then a count: asking the system for chance on each request costs more
        # than the rest of this, since it lets go of the interpreter's lock.
        self._prefix = secrets.token_hex(6)
        self._count = itertools.count()

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Set the id for logs and for the answer."""
        resp.set_header(HEADER, self.begin(req.get_header(HEADER)))

    def begin(self, given: str | None) -> str:
        """Set the id for logs, the client's own where it is sane; return it."""
        identity = self.name(given)
        REQUEST_ID.set(identity)
        return identity

    def name(self, given: str | None) -> str:
        """Return the client's own id where it is sane, or a new one."""
        return given if given and _SANE.fullmatch(given) else f"{self._prefix}{next(self._count):08x}"


class BearerToken:
    """Lets nobody in without the hub's token."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Compare the token that came with the request.

        Raises:
            UnauthenticatedError: none came, or another one.
        """
        del resp
        if req.path.startswith(_OPEN) or req.path in _PAGES:
            return
        if not self.admits(req.get_header("Authorization")):
            raise UnauthenticatedError(
                "This hub needs its token: send it as the header 'Authorization: Bearer …'."
            )

    def admits(self, authorization: str | None) -> bool:
        """Tell whether a header `Authorization` carries the token."""
        scheme, _, token = (authorization or "").partition(" ")
        return scheme.lower() == "bearer" and secrets.compare_digest(token.strip().encode(), self._token)
