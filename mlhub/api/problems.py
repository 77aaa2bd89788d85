"""The one table from errors to HTTP: every error leaves as `application/problem+json` (RFC 9457)."""

import logging
from http import HTTPStatus
from typing import Any, Final

import falcon
import falcon.asgi
import msgspec

from mlhub.common import errors
from mlhub.common.errors import FieldError, MLHubError

_LOG = logging.getLogger(__name__)

PROBLEM_TYPE: Final = "application/problem+json"

_STATUSES: Final[dict[type[MLHubError], int]] = {
    errors.MalformedError: 400,
    errors.UnauthenticatedError: 401,
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.PreconditionFailedError: 412,
    errors.TooLargeError: 413,
    errors.UnsupportedMediaError: 415,
    errors.RangeError: 416,
    errors.UnacceptableError: 422,
    errors.BackendRefusedError: 422,
    errors.BackendError: 502,
    errors.UnavailableError: 503,
    errors.NotDeployedError: 503,
    errors.DeadlineError: 504,
    errors.BackendTimeoutError: 504,
}


_OPEN_INFERENCE: Final = "/v2/"


class Problem(msgspec.Struct, omit_defaults=True):
    """The body of an error."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: tuple[FieldError, ...] = ()
    error: str = ""
    """The detail once more, where clients of the Open Inference Protocol look for it."""


def add_handlers(app: "falcon.asgi.App[Any, Any]") -> None:
    """Have all errors of an application leave as problems: MLHub's, Falcon's own and crashes."""
    app.add_error_handler(Exception, _on_crash)
    app.add_error_handler(falcon.HTTPError, _on_http_error)
    app.add_error_handler(MLHubError, _on_error)


class Refusal(msgspec.Struct, frozen=True):
    """An error as it leaves."""

    status: int
    headers: dict[str, str]
    """Those besides the content type."""
    body: bytes


def refusal(error: MLHubError, method: str, path: str) -> Refusal:
    """Return how an error of MLHub's leaves; what is the hub's own fault goes to the log too."""
    status = next(_STATUSES[family] for family in type(error).__mro__ if family in _STATUSES)
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="mlhub"'
    if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}:
        # After a deadline too: what held the answer up may have passed.
        headers["Retry-After"] = str(getattr(error, "retry_after", 1))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _LOG.warning("%s %s: %d %s: %s", method, path, status, error.code, error)
    return Refusal(status, headers, _body(path, status, error.code, error.detail, error.fields))


async def _on_error(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: MLHubError, _params: dict[str, Any]
) -> None:
    refused = refusal(error, req.method, req.path)
    for name, value in refused.headers.items():
        resp.set_header(name, value)
    _render(resp, refused.status, refused.body)


async def _on_http_error(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: falcon.HTTPError, _params: dict[str, Any]
) -> None:
    status = error.status_code
    if isinstance(error.headers, dict):
        for name, value in error.headers.items():
            resp.set_header(name, value)
    code = HTTPStatus(status).phrase.lower().replace(" ", "_")
    if status == HTTPStatus.NOT_FOUND:
        detail = f"There is nothing at {req.path}; GET / lists the addresses of this hub."
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{req.method} is not possible here; use one of {resp.get_header('Allow')}."
    else:
        detail = error.description or error.title or HTTPStatus(status).phrase
    _render(resp, status, _body(req.path, status, code, detail))


def crash(error: Exception, method: str, path: str) -> Refusal:
    """Return how a crash leaves: what went wrong is for the log alone, where the request's id finds it."""
    _LOG.error("%s %s crashed", method, path, exc_info=error)
    detail = "The hub failed on this request; its log has the reason under the request's id."
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return Refusal(status, {}, _body(path, status, "internal_error", detail))


async def _on_crash(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, _params: dict[str, Any]
) -> None:
    crashed = crash(error, req.method, req.path)
    _render(resp, crashed.status, crashed.body)


def _body(path: str, status: int, code: str, detail: str, fields: tuple[FieldError, ...] = ()) -> bytes:
    problem = Problem(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=path,
        code=code,
        errors=fields,
        error=detail if path.startswith(_OPEN_INFERENCE) else "",
    )
    return msgspec.json.encode(problem)


def _render(resp: falcon.asgi.Response, status: int, body: bytes) -> None:
    resp.status = status
    resp.content_type = PROBLEM_TYPE
    resp.stream = None
    resp.data = body
