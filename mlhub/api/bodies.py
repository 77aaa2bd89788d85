"""Bodies of requests, read within limits; a body that breaks off is never taken for a whole one."""

from collections.abc import AsyncIterator
from typing import Any, Final, TypeVar

import falcon.asgi
import msgspec

from mlhub.common import badjson
from mlhub.common.errors import (
    FieldError,
    MalformedError,
    TooLargeError,
    UnacceptableError,
    UnsupportedMediaError,
)

T = TypeVar("T")

_JSON: Final = "application/json"
RECEIVED: Final = "mlhub.received"
"""Key of an ASGI scope with the bytes of a body that came without a length."""
_BROKEN: Final = "mlhub.broken"
"""Key of an ASGI scope that is true once the client went away in the middle of its body."""


class BodyWatch:
    """An ASGI application around another one that notices when a body without a length breaks off.

    Falcon's stream ends the same way after the last chunk and after a lost connection. Where there is a
    Content-Length, counting tells the two apart.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request, or the application's life span."""
        if scope["type"] == "http" and any(name == b"transfer-encoding" for name, _ in scope["headers"]):
            receive = _watched(scope, receive)
        await self._app(scope, receive, send)


def _watched(scope: dict[str, Any], receive: Any) -> Any:
    is_open = True

    async def watched() -> Any:
        nonlocal is_open
        event = await receive()
        scope[RECEIVED] = scope.get(RECEIVED, 0) + len(event.get("body", b""))
        if event["type"] == "http.disconnect" and is_open:
            scope[_BROKEN] = True
        elif not event.get("more_body", False):
            is_open = False
        return event

    return watched


async def chunks(req: falcon.asgi.Request, limit: int) -> AsyncIterator[bytes]:
    """Yield the body piece by piece.

    Raises:
        TooLargeError: it has more than `limit` bytes.
        MalformedError: the client went away before its end.
    """
    announced = req.content_length
    if announced is not None and announced > limit:
        raise _too_large(limit)
    received = 0
    async for chunk in req.stream:
        received += len(chunk)
        if received > limit:
            raise _too_large(limit)
        yield chunk
    if req.scope.get(_BROKEN) or (announced is not None and received != announced):
        raise MalformedError("The body broke off before its end; send it again.", code="body_incomplete")


async def read(req: falcon.asgi.Request, limit: int) -> bytes:
    """Return the whole body.

    Raises:
        TooLargeError: it has more than `limit` bytes.
        MalformedError: the client went away before its end.
    """
    announced = req.content_length
    if announced is not None and announced <= limit:
        body = await req.stream.read()
        if len(body) == announced:
            return body
        raise MalformedError("The body broke off before its end; send it again.", code="body_incomplete")
    return b"".join([chunk async for chunk in chunks(req, limit)])


async def read_json(req: falcon.asgi.Request, decoder: "msgspec.json.Decoder[T]", limit: int) -> T:
    """Return the JSON body, decoded.

    Raises:
        UnsupportedMediaError: it is declared to be something else.
        MalformedError: it is not JSON.
        UnacceptableError: it is JSON of another form, with the place in `fields`.
        TooLargeError: it has more than `limit` bytes.
    """
    require_json(req)
    return decode(await read(req, limit), decoder)


def require_json(req: falcon.asgi.Request) -> None:
    """Refuse a body that is declared to be anything but JSON.

    Raises:
        UnsupportedMediaError: it is.
    """
    kind = req.content_type
    if kind is not None and kind != _JSON and kind.partition(";")[0].strip().lower() != _JSON:
        raise UnsupportedMediaError(
            f"This call takes JSON, not {kind.partition(';')[0]}; send it with 'content-type: {_JSON}'."
        )


def decode(body: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
    """Decode a JSON body.

    Raises:
        MalformedError: it is not JSON.
        UnacceptableError: it is JSON of another form, with the place in `fields`.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        detail, _, path = str(error).partition(" - at `$")
        pointer = path.rstrip("`").replace("]", "").replace("[", "/").replace(".", "/")
        detail = detail.replace("`", "'") + "."
        place = f" at {pointer}" if pointer else ""
        raise UnacceptableError(
            f"The body is not what this call takes{place}: {detail}",
            code="bad_body",
            fields=(FieldError(pointer, detail),),
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"The body {badjson.fault(body, error)}.", code="bad_json") from error


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"The body is larger than the {limit} bytes that this hub accepts here.")
