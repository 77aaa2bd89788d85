"""Answers: JSON, lists with the address of their next page, entity tags."""

import hashlib
from collections.abc import Collection
from typing import Any, Final

import falcon.asgi
import msgspec

from mlhub.common.errors import UnacceptableError

_MOST: Final = 1000
_DIGITS: Final = 9
"""Of the longest number that is read."""
_DEFAULT: Final = 100


def send(resp: falcon.asgi.Response, body: Any, status: int = 200) -> None:
    """Answer with JSON."""
    resp.status = status
    resp.content_type = "application/json"
    resp.data = msgspec.json.encode(body)


def send_entity(req: falcon.asgi.Request, resp: falcon.asgi.Response, body: Any) -> None:
    """Answer with JSON and its entity tag, or with 304 when the client has it already."""
    send_encoded(req, resp, Encoded.of(msgspec.json.encode(body)))


class Encoded(msgspec.Struct, frozen=True):
    """A representation as it is sent."""

    data: bytes
    tag: str
    """Its entity tag."""

    @classmethod
    def of(cls, data: bytes) -> "Encoded":
        """Tag some bytes."""
        return cls(data, entity_tag(data))


def send_encoded(
    req: falcon.asgi.Request,
    resp: falcon.asgi.Response,
    encoded: Encoded,
    media_type: str = "application/json",
) -> None:
    """Answer with a representation, or with 304 when the client has it already."""
    resp.set_header("ETag", f'"{encoded.tag}"')
    if has_tag(req.get_header("If-None-Match"), encoded.tag):
        resp.status = 304
        return
    resp.content_type = media_type
    resp.data = encoded.data


def entity_tag(data: bytes) -> str:
    """Return the tag of a representation: equal bytes, equal tag, in every process."""
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def has_tag(header: str | None, tag: str) -> bool:
    """Tell whether a header with entity tags names `tag`."""
    if header is None:
        return False
    given = [item.strip().removeprefix("W/").strip('"') for item in header.split(",")]
    return tag in given or given == ["*"]


def check_parameters(req: falcon.asgi.Request, known: Collection[str]) -> None:
    """Refuse a list's parameters that would have no effect: a filter with a typing error lists everything.

    Raises:
        UnacceptableError: there is one that is not known.
    """
    for name in req.params:
        if name not in known:
            raise UnacceptableError(
                f"This list has no parameter {name[:80]!r}; it takes {', '.join(known)}.",
                code="bad_parameter",
            )


def limit_of(req: falcon.asgi.Request) -> int:
    """Return how many entries of a list the request wants.

    Raises:
        UnacceptableError: not a number from 1 to 1000.
    """
    text = req.get_param("limit")
    if text is None:
        return _DEFAULT
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS and 1 <= int(text) <= _MOST):
        raise UnacceptableError(f"limit takes a whole number from 1 to {_MOST}.", code="bad_parameter")
    return int(text)


def link_next(req: falcon.asgi.Request, resp: falcon.asgi.Response, cursor: str | None) -> None:
    """Say where the next page is (RFC 8288), when there is one."""
    if cursor is None:
        return
    parameters = {name: value for name, value in req.params.items() if name != "cursor"}
    query = falcon.to_query_str(parameters | {"cursor": cursor}, comma_delimited_lists=False)
    resp.append_header("Link", f'<{req.path}{query}>; rel="next"')
