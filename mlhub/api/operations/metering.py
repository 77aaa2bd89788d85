"""Counting requests: by route and status, and how long they took.

Routes are templates (`/model/{name}`), so that there are as many as the hub has, whatever is asked for.
"""

import time
from typing import Any, Final

import falcon.asgi

from mlhub.api.bodies import RECEIVED
from mlhub.api.operations.failures import Failures
from mlhub.api.problems import Refusal
from mlhub.common import metrics
from mlhub.common.logs import HEADER
from mlhub.common.tally import Count, Histogram, Tally

_UNKNOWN: Final = "none"
"""Route of what asks for an address that the hub does not have."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER: Final = "other"
_IN: Final = ("/upload", "/uploads", "/uploads/{identity}", "/import")
_OUT: Final = ("/download", "/export")
"""Ends of the routes by which bundles come and go."""
_PROBES: Final = ("/health/", "/v2/health/")
"""Whoever asks here wants to hear of failures, and asks again and again."""
_SUCCESSFUL: Final = range(200, 300)
_FAILED: Final = 500
"""Statuses from here on are the hub's own failures."""


class RouteMeter:
    """What is counted of one route."""

    __slots__ = ("_answered", "_route", "_tally", "_times")

    def __init__(self, tally: Tally, route: str) -> None:
        self._tally = tally
        self._route = route
        self._answered: dict[tuple[str, int], Count] = {}
        self._times: Histogram = tally.histogram(metrics.HTTP_TIME, route)

    def took(self, method: str, status: int, seconds: float) -> None:
        """Count an answer."""
        key = (method, status)
        count = self._answered.get(key)
        if count is None:
            shown = method if method in _METHODS else _OTHER
            count = self._answered[key] = self._tally.count(
                metrics.HTTP_REQUESTS, self._route, shown, str(status)
            )
        count.value += 1
        self._times.observe(seconds)


class Metering:
    """Middleware that counts every request; one that streams its answer, up to the answer's begin."""

    def __init__(self, tally: Tally, failures: Failures) -> None:
        self._tally = tally
        self._failures = failures
        self._routes: dict[str, RouteMeter] = {}
        self._in = tally.count(metrics.BUNDLE_BYTES, "in")
        self._out = tally.count(metrics.BUNDLE_BYTES, "out")

    def route(self, template: str) -> RouteMeter:
        """Return what counts the requests of a route."""
        found = self._routes.get(template)
        if found is None:
            found = self._routes[template] = RouteMeter(self._tally, template)
        return found

    def failed(self, method: str, path: str, answer: Refusal, identity: str) -> None:
        """Remember a request that was refused, if that is the hub's own fault."""
        if answer.status >= _FAILED and not path.startswith(_PROBES):
            self._failures.note(method, path, answer.status, answer.body, identity)

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Note when it came."""
        del resp
        req.context.came = time.perf_counter()

    async def process_response(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: Any, succeeded: object
    ) -> None:
        """Count it."""
        del resource, succeeded
        template = req.uri_template or _UNKNOWN
        came = getattr(req.context, "came", None)
        if came is not None:
            self.route(template).took(req.method, resp.status_code, time.perf_counter() - came)
        if resp.status_code >= _FAILED:
            answer = Refusal(resp.status_code, {}, resp.data or b"")
            self.failed(req.method, req.path, answer, resp.get_header(HEADER) or "")
        if resp.status_code in _SUCCESSFUL:
            if template.endswith(_OUT):
                self._out.value += int(resp.content_length or 0)
            elif template.endswith(_IN) and req.method != "GET":
                self._in.value += req.content_length or req.scope.get(RECEIVED, 0)
