"""An ASGI application around another one that makes a span of each request, where traces are wanted."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from mlhub.common import tracecontext
from mlhub.common.logs import NOBODY, REQUEST_ID
from mlhub.common.tracing import TRACEPARENT, Kind, Span, Tracing

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]

ROUTE: Final = "mlhub.route"
"""Key of an ASGI scope with the route that answered, empty for none."""

_FAILED: Final = 500
_PARENT: Final = tracecontext.PARENT.encode()
_STATE: Final = tracecontext.STATE.encode()
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RouteNote:
    """Falcon's middleware that notes which route answers."""

    async def process_response(self, req: Any, resp: Any, resource: Any, succeeded: object) -> None:
        """Note it."""
        del resp, resource, succeeded
        req.scope[ROUTE] = req.uri_template or ""


class TracedApp:
    """Takes over the trace of whoever asks, and begins one where there is none."""

    def __init__(self, app: Any, tracing: Tracing, wanted: Callable[[str], bool], route: str = "") -> None:
        """Wrap an application.

        Args:
            app: which one.
            tracing: makes the spans, and is closed when the application has ended.
            wanted: whether requests for a path have a span.
            route: the route of what is answered without a `RouteNote`.
        """
        self._app = app
        self._tracing = tracing
        self._wanted = wanted
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the application's life span."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, self._closing(send))
        elif scope["type"] == "http" and self._wanted(scope["path"]):
            await self._trace(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _closing(self, send: Send) -> Send:
        async def closing(event: Scope) -> None:
            # After this event the process may be gone at any moment.
            if event["type"].startswith("lifespan.shutdown"):
                await asyncio.to_thread(self._tracing.close)
            await send(event)

        return closing

    async def _trace(self, scope: Scope, receive: Receive, send: Send) -> None:
        span = begin(self._tracing, scope["method"], scope["path"], scope["scheme"], caller(scope["headers"]))
        token = TRACEPARENT.set(span.traceparent)
        status = 0

        async def noting(event: Scope) -> None:
            nonlocal status
            if event["type"] == "http.response.start":
                status = event["status"]
            await send(event)

        error = ""
        try:
            await self._app(scope, receive, noting)
        except BaseException as failure:
            error = type(failure).__name__
            raise
        finally:
            TRACEPARENT.reset(token)
            route = scope.get(ROUTE, self._route)
            end(span, scope["method"], route, status, REQUEST_ID.get(), error)


def caller(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the span that a request was sent within, by its headers, named in lower case; empty for none."""
    parents: list[str] = []
    states: list[str] = []
    for name, value in headers:
        if name == _PARENT:
            parents.append(value.decode("latin-1"))
        elif name == _STATE:
            states.append(value.decode("latin-1"))
    # Which of several is meant, nobody knows.
    return tracecontext.written(parents[0], states) if len(parents) == 1 else ""


def begin(tracing: Tracing, method: str, path: str, scheme: str, parent: str) -> Span:
    """Begin the span of a request that came from a `caller`."""
    method = _shown(method)
    known = {"http.request.method": method, "url.path": path, "url.scheme": scheme}
    return tracing.begin(method, Kind.SERVER, (parent,), known)


def end(span: Span, method: str, route: str, status: int, request: str, error: str = "") -> None:
    """End it, with what is known by then.

    Args:
        span: of the request.
        method: of HTTP.
        route: that answered; empty for none.
        status: of the answer; 0 when there was none.
        request: its id.
        error: what kept it from an answer.
    """
    if route:
        span.rename(f"{_shown(method)} {route}")
        span.note({"http.route": route})
    if status:
        span.note({"http.response.status_code": status})
    if request != NOBODY:
        span.note({"mlhub.request_id": request})
    span.end(error or (str(status) if status >= _FAILED else ""))


def _shown(method: str) -> str:
    return method if method in _METHODS else "_OTHER"
