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

_PROBLEM_TYPE: Final = "application/problem+json"

_STATUSES: Final[dict[type[MLHubError], int]] = {
    errors.MalformedError: 400,
    errors.UnauthenticatedError: 401,
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.PreconditionFailedError: 412,
    errors.TooLargeError: 413,
    errors.UnsupportedMediaError: 415,
    errors.UnacceptableError: 422,
    errors.BackendRefusedError: 422,
    errors.BackendError: 502,
    errors.UnavailableError: 503,
    errors.NotDeployedError: 503,
    errors.DeadlineError: 504,
    errors.BackendTimeoutError: 504,
}


class Problem(msgspec.Struct, omit_defaults=True):
    """The body of an error."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: tuple[FieldError, ...] = ()


def add_handlers(app: "falcon.asgi.App[Any, Any]") -> None:
    """Have all errors of an application leave as problems: MLHub's, Falcon's own and crashes."""
    app.add_error_handler(Exception, _on_crash)
    app.add_error_handler(falcon.HTTPError, _on_http_error)
    app.add_error_handler(MLHubError, _on_error)


async def _on_error(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: MLHubError, _params: dict[str, Any]
) -> None:
    status = next(_STATUSES[family] for family in type(error).__mro__ if family in _STATUSES)
    if status == HTTPStatus.UNAUTHORIZED:
        resp.set_header("WWW-Authenticate", 'Bearer realm="mlhub"')
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        resp.set_header("Retry-After", str(getattr(error, "retry_after", 1)))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _LOG.warning("%s %s: %d %s: %s", req.method, req.path, status, error.code, error.detail)
    _render(req, resp, status, error.code, error.detail, error.fields)


async def _on_http_error(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: falcon.HTTPError, _params: dict[str, Any]
) -> None:
    status = error.status_code
    if isinstance(error.headers, dict):
        for name, value in error.headers.items():
            resp.set_header(name, value)
    code = HTTPStatus(status).phrase.lower().replace(" ", "_")
    if status == HTTPStatus.NOT_FOUND:
        detail = f"There is nothing at {req.path}; the addresses of this hub are in its documentation."
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{req.method} is not possible here; use one of {resp.get_header('Allow')}."
    else:
        detail = error.description or error.title or HTTPStatus(status).phrase
    _render(req, resp, status, code, detail)


async def _on_crash(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, _params: dict[str, Any]
) -> None:
    # What went wrong is for the log alone, where the request's id finds it.
    _LOG.error("%s %s crashed", req.method, req.path, exc_info=error)
    detail = "The hub failed on this request; its log has the reason under the request's id."
    _render(req, resp, HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", detail)


def _render(
    req: falcon.asgi.Request,
    resp: falcon.asgi.Response,
    status: int,
    code: str,
    detail: str,
    fields: tuple[FieldError, ...] = (),
) -> None:
    problem = Problem(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=req.path,
        code=code,
        errors=fields,
    )
    resp.status = status
    resp.content_type = _PROBLEM_TYPE
    resp.stream = None
    resp.data = msgspec.json.encode(problem)
