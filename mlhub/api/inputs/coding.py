"""Bodies of predictions as they come, packed by gzip or deflate or not, within limits."""

import zlib
from typing import Final

import falcon.asgi

from mlhub.api.bodies import read
from mlhub.common.errors import MalformedError, TooLargeError, UnsupportedMediaError

_WINDOWS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""zlib's number for each coding."""


def unpacked(content: bytes, coding: str, limit: int) -> bytes:
    """Unpack a body.

    Raises:
        MalformedError: it is broken, or goes on after its end.
        TooLargeError: it unpacks to more than `limit` bytes.
        UnsupportedMediaError: it is packed in another way.
    """
    window = _WINDOWS.get(coding.strip().lower())
    if window is None:
        raise UnsupportedMediaError("A body may be packed by gzip or deflate only; see Content-Encoding.")
    unpacking = zlib.decompressobj(window)
    try:
        body = unpacking.decompress(content, limit + 1)
    except zlib.error as error:
        raise MalformedError(f"The body is not what {coding} gives.", code="bad_coding") from error
    if len(body) > limit:
        raise TooLargeError(f"The body unpacks to more than the {limit} bytes that this hub accepts here.")
    if not unpacking.eof or unpacking.unused_data:
        raise MalformedError(f"The body is not what {coding} gives, or broke off.", code="bad_coding")
    return body


async def read_unpacked(req: falcon.asgi.Request, limit: int) -> bytes:
    """Return the whole body of a request, unpacked.

    Raises:
        MalformedError: it breaks off or is broken.
        TooLargeError: it has more than `limit` bytes, packed or not.
        UnsupportedMediaError: it is packed in a way that is not known.
    """
    content = await read(req, limit)
    coding = req.get_header("Content-Encoding")
    if coding is None or coding.strip().lower() in {"", "identity"}:
        return content
    return unpacked(content, coding, limit)
