"""The one table from errors to HTTP for model servers: every error leaves as `{"error": "…"}`."""

import logging
from http import HTTPStatus
from typing import Any, Final

import falcon
import falcon.asgi
import msgspec

from mlhub.common import errors
from mlhub.common.errors import MLHubError

_LOG = logging.getLogger(__name__)

_STATUSES: Final[dict[type[MLHubError], int]] = {
    errors.MalformedError: HTTPStatus.BAD_REQUEST,
    errors.UnacceptableError: HTTPStatus.BAD_REQUEST,
    errors.NotFoundError: HTTPStatus.NOT_FOUND,
    errors.TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}


class ErrorBody(msgspec.Struct):
    """The body of an error, as the Open Inference Protocol has it."""

    error: str
    """One clear sentence."""


def add_handlers(app: "falcon.asgi.App[Any, Any]") -> None:
    """Have all errors of an application leave in the protocol's form: MLHub's, Falcon's own and crashes."""
    app.add_error_handler(Exception, _on_error)
    app.add_error_handler(falcon.HTTPError, _on_http_error)


def answer(error: Exception, what: str) -> tuple[int, bytes]:
    """Return status and body for an error; one that no request can be blamed for is logged.

    Args:
        error: of any kind.
        what: failed, for the log.
    """
    if isinstance(error, MLHubError):
        status = next((_STATUSES[family] for family in type(error).__mro__ if family in _STATUSES), None)
        if status is not None:
            return status, encode(error.detail)
    # What went wrong is for the log alone.
    _LOG.error("%s crashed", what, exc_info=error)
    crashed = "The model server failed on this request; its log says why."
    return HTTPStatus.INTERNAL_SERVER_ERROR, encode(crashed)


def encode(detail: str) -> bytes:
    """Make the body of an error."""
    return msgspec.json.encode(ErrorBody(detail))


async def _on_error(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, _params: dict[str, Any]
) -> None:
    _render(resp, *answer(error, f"{req.method} {req.path}"))


async def _on_http_error(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: falcon.HTTPError, _params: dict[str, Any]
) -> None:
    if isinstance(error.headers, dict):
        for name, value in error.headers.items():
            resp.set_header(name, value)
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = (
            f"There is nothing at {req.path}; this server speaks the Open Inference Protocol from /v2 on."
        )
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{req.method} is not possible here; use one of {resp.get_header('Allow')}."
    else:
        detail = error.description or error.title or HTTPStatus(error.status_code).phrase
    _render(resp, error.status_code, encode(detail))


def _render(resp: falcon.asgi.Response, status: int, body: bytes) -> None:
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = body
