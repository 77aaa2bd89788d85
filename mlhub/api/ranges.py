"""Byte ranges of a download (RFC 9110, section 14)."""

import re
from typing import Final

import falcon.asgi
import msgspec

from mlhub.common.errors import RangeError

_RANGE: Final = re.compile(
    r"\s*bytes\s*=\s*(?:(\d{1,18})\s*-\s*(\d{0,18})|-\s*(\d{1,18}))\s*", re.ASCII | re.IGNORECASE
)


class ByteRange(msgspec.Struct, frozen=True):
    """Some of the bytes of a content."""

    first: int
    last: int
    """The last one that belongs to it."""

    @property
    def length(self) -> int:
        """Bytes."""
        return self.last - self.first + 1


def range_of(req: falcon.asgi.Request, tag: str, size: int) -> ByteRange | None:
    """Return the range that a request asks for; nothing when it gets all.

    Several ranges at once get all, as do ranges in other units and unreadable ones: a server may ignore
    the header (RFC 9110, section 14.2).

    Args:
        req: the request.
        tag: strong entity tag of the content, without quotes.
        size: bytes of the content.

    Raises:
        RangeError: there is no byte of it.
    """
    header, condition = req.get_header("Range"), req.get_header("If-Range")
    if header is None or req.method != "GET":
        return None
    if condition is not None and condition.strip() != f'"{tag}"':
        # The client has the beginning of something else; or a date, which no bundle has.
        return None
    found = _RANGE.fullmatch(header)
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        chosen = ByteRange(max(0, size - int(suffix)), size - 1)
    else:
        chosen = ByteRange(int(first), min(int(last), size - 1) if last else size - 1)
        if last and int(last) < int(first):
            return None
    if chosen.first >= size or chosen.length <= 0:
        raise RangeError(f"The bundle has {size} bytes; the range asked for lies behind its end.")
    return chosen
