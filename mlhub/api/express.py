"""The short way of the commonest call: one row or a list of rows as JSON, for the answer at once.

It takes what needs no more than that, and leaves everything else, whatever is wrong included, to the
application, untouched. Both give the same answers; here they cost less than half.
"""

import asyncio
import time
from typing import Any, Final

import msgspec

from mlhub.api import problems, representation
from mlhub.api.gateway.answer import Answer
from mlhub.api.gateway.gateway import Gateway
from mlhub.api.gateway.group import Target, Waiter
from mlhub.api.middleware import BearerToken, RequestId
from mlhub.api.operations.metering import Metering
from mlhub.api.problems import Refusal
from mlhub.api.services.routes import Route, RouteCache
from mlhub.common import logs, rows, tracedapp
from mlhub.common.errors import MLHubError
from mlhub.common.logs import HEADER
from mlhub.common.names import LATEST
from mlhub.common.rows import Rows
from mlhub.common.shortcut import Exchange, Headers
from mlhub.common.tracing import Span, Tracing

ROUTE: Final = "/model/{name}/predict"
"""The route whose requests it takes."""
_PREFIX: Final = b"/model/"
_SUFFIX: Final = b"/predict"
_METHODS: Final = (b"POST", b"GET")
_JSON: Final = b"application/json"
_REQUEST_ID: Final = HEADER.lower().encode()
_LARGEST: Final = 1024 * 1024
"""Bytes of a body that is worth it; with larger ones the rest of the way does not count."""
_HOST: Final = b"host"
_WANTED: Final = frozenset({_HOST, b"content-type", b"content-length", b"authorization", _REQUEST_ID})
_INDIFFERENT: Final = frozenset(
    {
        b"user-agent",
        b"accept-encoding",
        b"accept-language",
        b"connection",
        b"cache-control",
        b"origin",
        b"pragma",
        b"referer",
        b"traceparent",
        b"tracestate",
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-real-ip",
    }
)
"""Headers that change nothing about the answer. One that is not known here may."""


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """The only body that goes this way."""

    input: msgspec.Raw


_BODY: Final = msgspec.json.Decoder(_Body)


class _Head(msgspec.Struct, frozen=True):
    """What is to be known of a request's head."""

    method: str
    path: str
    name: str
    """The model's, as it stands in the address."""
    request_id: str | None
    """The client's own."""
    caller: str
    """The span of whoever asks, where traces are wanted."""


class Express:
    """Answers plain predictions past the application."""

    def __init__(
        self,
        routes: RouteCache,
        gateway: Gateway,
        request_id: RequestId,
        token: BearerToken | None,
        metering: Metering,
        wait: float,
        tracing: Tracing | None = None,
    ) -> None:
        """Remember what is needed.

        Args:
            routes: where predictions go.
            gateway: what makes them.
            request_id: names requests.
            token: who is let in; nothing lets in everybody.
            metering: counts what is answered here.
            wait: seconds that clients wait.
            tracing: makes the spans, where they are wanted.
        """
        self.metering = metering
        self.meter = metering.route(ROUTE)
        self._routes = routes
        self._gateway = gateway
        self._request_id = request_id
        self._token = token
        self._wait = wait
        self._tracing = tracing

    def takes(self, method: bytes, target: bytes, headers: Headers) -> _Head | None:
        """Return what matters of the head of a request that may go this way."""
        if not target.endswith(_SUFFIX) or not target.startswith(_PREFIX) or method not in _METHODS:
            return None
        wanted: dict[bytes, bytes] = {}
        for name, value in headers:
            if name in _WANTED and name not in wanted:
                wanted[name] = value
            elif name not in _INDIFFERENT and not (name == b"accept" and value in (b"*/*", _JSON)):
                return None
        length = wanted.get(b"content-length", b"")
        if (
            _HOST not in wanted
            or wanted.get(b"content-type") != _JSON
            or not length.isdigit()
            or int(length) > _LARGEST
        ):
            return None
        if self._token is not None:
            authorization = wanted.get(b"authorization", b"").decode("latin-1")
            if not self._token.admits(authorization):
                return None
        path = target.decode("latin-1")
        request_id = wanted.get(_REQUEST_ID)
        return _Head(
            method.decode("latin-1"),
            path,
            path[len(_PREFIX) : -len(_SUFFIX)],
            None if request_id is None else request_id.decode("latin-1"),
            "" if self._tracing is None else tracedapp.caller(headers),
        )

    def begin(self, exchange: Exchange, body: bytes) -> bool:
        """Have a prediction made, unless something about it needs more than this, or is wrong."""
        head: _Head = exchange.claim
        # Names that need decoding are unknown here, like those that nobody has.
        route = self._routes.known(head.name, LATEST)
        if route is None:
            return False
        try:
            given = rows.from_json(_BODY.decode(body).input, route.signature)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, MLHubError):
            # The application says what is wrong with it.
            return False
        prediction = _Prediction(
            self, exchange, route, given, self._wait, self._request_id.name(head.request_id), self._span(head)
        )
        try:
            self._gateway.submit(Target(route.backend, route.model, route.deployment), prediction)
        except MLHubError as error:
            prediction.failed(error)
        except Exception as error:  # noqa: BLE001 (the edge: Falcon does the same for all other calls)
            prediction.crashed(error)
        return True

    def _span(self, head: _Head) -> Span | None:
        if self._tracing is None:
            return None
        return tracedapp.begin(self._tracing, head.method, head.path, "http", head.caller)


class _Prediction(Waiter):
    """One request, until it is answered."""

    __slots__ = ("_came", "_exchange", "_express", "_route", "_span")

    def __init__(
        self,
        express: Express,
        exchange: Exchange,
        route: Route,
        given: Rows,
        wait: float,
        identity: str,
        span: Span | None,
    ) -> None:
        now = asyncio.get_running_loop().time()
        super().__init__(given, now, wait, identity, "" if span is None else span.traceparent)
        self._express = express
        self._exchange = exchange
        self._route = route
        self._span = span
        self._came = time.perf_counter()

    def answered(self, answer: Answer) -> None:
        """Send the answer."""
        try:
            body = msgspec.json.encode(representation.answer(self._route, answer, single=self.rows.single))
            timing = answer.shared.timing
        except Exception as error:  # noqa: BLE001 (the edge: Falcon does the same for all other calls)
            self.crashed(error)
        else:
            self._answer(
                200, b"server-timing: %b\r\ncontent-type: application/json\r\n" % timing.encode(), body
            )

    def failed(self, error: MLHubError) -> None:
        """Say what is wrong."""
        head: _Head = self._exchange.claim
        with logs.working_for([self.request]):
            self._refuse(problems.refusal(error, head.method, head.path))

    def crashed(self, error: Exception) -> None:
        """Say that the hub failed."""
        head: _Head = self._exchange.claim
        with logs.working_for([self.request]):
            self._refuse(problems.crash(error, head.method, head.path))

    def _refuse(self, refused: Refusal) -> None:
        head: _Head = self._exchange.claim
        self._express.metering.failed(head.method, head.path, refused, self.request)
        headers = refused.headers | {"content-type": problems.PROBLEM_TYPE}
        lines = "".join([f"{name.lower()}: {value}\r\n" for name, value in headers.items()])
        self._answer(refused.status, lines.encode("latin-1"), refused.body)

    def _answer(self, status: int, lines: bytes, body: bytes) -> None:
        head: _Head = self._exchange.claim
        self._exchange.answer(status, b"x-request-id: %b\r\n%b" % (self.request.encode(), lines), body)
        self._express.meter.took(head.method, status, time.perf_counter() - self._came)
        if self._span is not None:
            tracedapp.end(self._span, head.method, ROUTE, status, self.request)


class Hub:
    """The ASGI application of an API process, and the short way past it."""

    def __init__(self, app: Any, shortcut: Express) -> None:
        self._app = app
        self.shortcut: Final = shortcut
        """Whoever serves the application looks for it here."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve what does not go the short way, and the application's life span."""
        await self._app(scope, receive, send)
