"""The body of a request, whole and no larger than it may be."""

import falcon.asgi

from mlhub.common.errors import MalformedError, TooLargeError


async def read(req: falcon.asgi.Request, limit: int) -> bytes:
    """Return the body.

    Args:
        req: the request.
        limit: bytes that it may have.

    Raises:
        MalformedError: it broke off.
        TooLargeError: it is larger.
    """
    announced = req.content_length
    if announced is not None and announced <= limit:
        body = await req.stream.read()
        if len(body) == announced:
            return bytes(body)
        raise MalformedError("The body broke off before its end.", code="body_incomplete")
    if announced is not None:
        raise _too_large(limit)
    pieces = []
    received = 0
    async for piece in req.stream:
        received += len(piece)
        if received > limit:
            raise _too_large(limit)
        pieces.append(piece)
    return b"".join(pieces)


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"The body is larger than the {limit} bytes that this server accepts here.")
