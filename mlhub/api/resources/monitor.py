"""`/monitor` and `/docs`: the pages for people, and what they are made of."""

from collections.abc import AsyncIterator, Mapping
from importlib.resources import files
from typing import Final

import falcon
import falcon.asgi
import msgspec

from mlhub.api.operations.monitor import MonitorService
from mlhub.api.responses import Encoded, send_encoded

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing comes from elsewhere, and nothing runs that is not a file of the hub."""
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def read_pages() -> dict[str, Encoded]:
    """Read the files of all pages, by name."""
    folder = files("mlhub.api") / "pages"
    found = (file for file in folder.iterdir() if file.name[file.name.rfind(".") :] in _TYPES)
    return {file.name: Encoded.of(file.read_bytes()) for file in found}


class WholePageResource:
    """A page itself; it asks for the token, and needs none."""

    def __init__(self, pages: Mapping[str, Encoded], name: str) -> None:
        self._page = pages[name]
        self._name = name

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Send it."""
        _send_page(req, resp, self._page, self._name)


class PageResource:
    """What a page is made of: styles and modules."""

    def __init__(self, pages: Mapping[str, Encoded]) -> None:
        self._pages = pages

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, file: str) -> None:
        """Send a file.

        Raises:
            HTTPRouteNotFound: there is none of that name.
        """
        page = self._pages.get(file)
        if page is None:
            raise falcon.HTTPRouteNotFound
        _send_page(req, resp, page, file)


class MonitorEventsResource:
    """The hub as it goes on (server-sent events): `history`, then `state` and `point` again and again."""

    def __init__(self, monitor: MonitorService) -> None:
        self._monitor = monitor

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Send them until the client goes."""
        del req
        resp.set_header("Cache-Control", "no-store")
        # Proxies that collect answers would keep them.
        resp.set_header("X-Accel-Buffering", "no")
        resp.sse = self._events()

    async def _events(self) -> AsyncIterator[falcon.asgi.SSEvent]:
        async for name, content in self._monitor.events():
            yield falcon.asgi.SSEvent(event=name, data=msgspec.json.encode(content))


def _send_page(req: falcon.asgi.Request, resp: falcon.asgi.Response, page: Encoded, name: str) -> None:
    resp.set_header("Content-Security-Policy", _POLICY)
    resp.set_header("X-Content-Type-Options", "nosniff")
    resp.set_header("Referrer-Policy", "no-referrer")
    # Asked for anew each time, which costs nothing while it is the same.
    resp.set_header("Cache-Control", "no-cache")
    send_encoded(req, resp, page, _TYPES[name[name.rfind(".") :]])
