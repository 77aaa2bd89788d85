"""Bodies of `multipart/form-data` (RFC 7578), read part by part with flat memory."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final, TypeAlias

import falcon.asgi
import msgspec
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from mlhub.api.bodies import chunks
from mlhub.common.errors import MalformedError, TooLargeError, UnsupportedMediaError

_FORM: Final = "multipart/form-data"
_LONGEST_BOUNDARY: Final = 200
"""Characters; RFC 2046 allows 70, and some clients do not care."""

_LONGEST_NAME: Final = 128
"""Characters of a field's name."""


_Event: TypeAlias = "MultipartSegment | bytes | bytearray | None"
"""What the parser gives: the head of a part, pieces of its content, and nothing at its end."""


class FormLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a form may be."""

    body: int
    """Bytes of all of it."""
    field: int = 64 * 1024
    """Bytes of one value that is read as a whole."""
    parts: int = 64
    """Parts."""
    headers: int = 16
    """Header lines of a part."""
    header: int = 8 * 1024
    """Bytes of one header line."""


class FormPart:
    """One part of a form, while it is the part that arrives; its content can be read once."""

    def __init__(self, segment: MultipartSegment, events: AsyncIterator[_Event], limits: FormLimits) -> None:
        self.name: str = segment.name or ""
        """Name of the field."""
        self.filename: str | None = segment.filename
        """Name of the file as the client says it, not to be trusted; a part without one is a plain field."""
        self.content_type: str | None = segment.content_type
        """Media type in lower case without parameters, when the part says one."""
        self._headers = {name.lower(): value for name, value in segment.headerlist}
        self._events = events
        self._limits = limits
        self._ended = False

    @property
    def is_file(self) -> bool:
        """Whether the client sent it as a file."""
        return self.filename is not None

    def header(self, name: str) -> str | None:
        """Return a header of this part."""
        return self._headers.get(name.lower())

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the content in the pieces in which it arrives.

        Raises:
            MalformedError: the form breaks off or is none.
            TooLargeError: the form has more bytes than its limit.
        """
        if self._ended:
            return
        async for event in self._events:
            if not isinstance(event, bytes | bytearray):
                break
            yield bytes(event)
        self._ended = True

    async def read(self, limit: int | None = None) -> bytes:
        """Return the whole content.

        Args:
            limit: bytes it may have; as many as a field unless given.

        Raises:
            MalformedError: the form breaks off or is none.
            TooLargeError: the content, or the form, has more bytes than its limit.
        """
        most = self._limits.field if limit is None else limit
        content = bytearray()
        async for piece in self.pieces():
            content += piece
            if len(content) > most:
                raise TooLargeError(f"The form's part {self.name!r} is larger than {most} bytes.")
        return bytes(content)

    async def text(self) -> str:
        """Return the content of a plain field.

        Raises:
            MalformedError: it is not UTF-8, or the form breaks off or is none.
            TooLargeError: it, or the form, has more bytes than its limit.
        """
        try:
            return (await self.read()).decode()
        except UnicodeDecodeError:
            raise MalformedError(
                f"The form's field {self.name!r} is not UTF-8.", code="bad_multipart"
            ) from None


def is_form(req: falcon.asgi.Request) -> bool:
    """Tell whether a request says that its body is a form."""
    return (req.content_type or "").partition(";")[0].strip().lower() == _FORM


async def parts(
    req: falcon.asgi.Request, limits: FormLimits, observe: Callable[[bytes], None] | None = None
) -> AsyncIterator[FormPart]:
    """Yield the parts of a form in their order, each while it arrives; what is not read of one is skipped.

    Every part has a name. Parts that come after an error, or that are never asked for, are not read.

    Args:
        req: the request.
        limits: what the form may be.
        observe: sees the bytes of the form itself.

    Raises:
        UnsupportedMediaError: the request does not say that its body is a form.
        MalformedError: the form breaks off, is none, or has too many parts or headers.
        TooLargeError: it has more bytes than its limit.
    """
    events = _events(req, limits, observe)
    try:
        async for event in events:
            if not isinstance(event, MultipartSegment):
                continue
            part = FormPart(event, events, limits)
            if not 0 < len(part.name) <= _LONGEST_NAME:
                raise _malformed(f"each of its parts needs a name, of at most {_LONGEST_NAME} characters")
            yield part
            async for _ in part.pieces():
                pass
    finally:
        await events.aclose()


async def _events(
    req: falcon.asgi.Request, limits: FormLimits, observe: Callable[[bytes], None] | None
) -> AsyncGenerator[_Event, None]:
    try:
        with _parser(req, limits) as parser:
            async for chunk in chunks(req, limits.body):
                if observe is not None:
                    observe(chunk)
                for event in parser.parse(chunk) if chunk else ():
                    yield event
    except MultipartError as error:
        raise _malformed(str(error)[:1].lower() + str(error)[1:]) from error


def _parser(req: falcon.asgi.Request, limits: FormLimits) -> PushMultipartParser:
    if not is_form(req):
        raise UnsupportedMediaError(f"This call takes a form here; send it as {_FORM}.")
    _, options = parse_options_header(req.content_type or "")
    boundary = options.get("boundary", "")
    if not 0 < len(boundary) <= _LONGEST_BOUNDARY:
        raise _malformed("its content type gives no boundary of at most 200 characters")
    return PushMultipartParser(
        boundary,
        max_header_size=limits.header,
        max_header_count=limits.headers,
        max_segment_count=limits.parts,
    )


def _malformed(why: str) -> MalformedError:
    return MalformedError(f"The body is no form that can be read: {why}.", code="bad_multipart")
