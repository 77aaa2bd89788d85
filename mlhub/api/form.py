"""The form that comes with a bundle: its fields become those of an entry, wherever they stand in it."""

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import falcon.asgi
import msgspec

from mlhub.api.bodies import decode
from mlhub.api.multipart import FormLimits, FormPart, parts
from mlhub.api.services.models import ModelFields
from mlhub.common.errors import FieldError, UnacceptableError

_METADATA: Final = "metadata"
_JSON: Final = frozenset({"meta", "meta_data", "input_example"})
"""Fields whose value is JSON."""
_TAGS: Final = "tags"
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_FIELDS: Final = msgspec.json.Decoder(ModelFields)
_ANYTHING: Final = msgspec.json.Decoder(Any)


class FormFields:
    """Fields of an entry as forms give them: each a text by its name."""

    def __init__(self) -> None:
        self._single: dict[str, Any] = {}
        self._metadata: dict[str, Any] = {}

    def take(self, name: str, text: str) -> None:
        """Take one in; `metadata` has several as JSON.

        Raises:
            MalformedError: it is no JSON where it should be.
            UnacceptableError: it is given twice.
        """
        if not text.strip():
            # Forms send what was left empty, too.
            return
        if name == _METADATA:
            self._metadata = decode(text.encode(), _OBJECT)
        elif name == _TAGS:
            words = [word.strip() for word in text.split(",") if word.strip()]
            self._single[_TAGS] = self._single.get(_TAGS, []) + words
        elif name in self._single:
            raise UnacceptableError(
                f"The form gives the field {name!r} twice.",
                code="bad_body",
                fields=(FieldError(f"/{name}", "It is given twice."),),
            )
        else:
            self._single[name] = decode(text.encode(), _ANYTHING) if name in _JSON else text

    def result(self) -> ModelFields:
        """Return the fields of the entry; single ones win over those in `metadata`.

        Raises:
            UnacceptableError: there is no such field, or one has no legal value.
        """
        return decode(msgspec.json.encode(self._metadata | self._single), _FIELDS)


class Form:
    """A form whose files are read while they arrive; its fields are known when all of it was read."""

    def __init__(
        self, req: falcon.asgi.Request, limits: FormLimits, observe: Callable[[bytes], None] | None = None
    ) -> None:
        self._req = req
        self._limits = limits
        self._observe = observe
        self.fields = FormFields()
        """What came besides files."""

    async def files(self) -> AsyncIterator[FormPart]:
        """Yield the parts that are files; fields before, between and after them are taken in on the way.

        Raises:
            MalformedError: the form breaks off or is none.
            TooLargeError: the form, or a field, is larger than its limit.
            UnacceptableError: a field is no JSON where it should be, or is given twice.
        """
        async for part in parts(self._req, self._limits, self._observe):
            if part.name == _METADATA or not part.is_file:
                self.fields.take(part.name, await part.text())
            # What a browser sends where no file was chosen has no name and no type of its own.
            elif part.filename or part.content_type != "application/octet-stream":
                yield part
