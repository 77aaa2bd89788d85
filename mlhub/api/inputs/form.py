"""Input in a form: pictures, or a file with JSON or an array, and fields that say what for."""

import falcon.asgi
import msgspec

from mlhub.api.inputs.array import ArrayInput
from mlhub.api.inputs.base import Input
from mlhub.api.inputs.document import document
from mlhub.api.inputs.image import ImageInput
from mlhub.api.multipart import FormLimits, parts
from mlhub.api.services.predictions import Order
from mlhub.api.services.routes import Route
from mlhub.common import npy
from mlhub.common.errors import ConflictError, FieldError, MalformedError, UnacceptableError


class FormFields(msgspec.Struct):
    """What stands in a form."""

    images: list[bytes] = []
    input: bytes | None = None
    model: str | None = None
    version: str | None = None
    outputs: tuple[str, ...] = ()


class FormInput:
    """The input of a form, with what its fields say."""

    def __init__(self, fields: FormFields) -> None:
        """Read it.

        Raises:
            MalformedError: it has no input, or one that cannot be read.
        """
        self._outputs = fields.outputs
        self._inner = _inner(fields)
        self.model = fields.model or self._inner.model
        self.version = fields.version or self._inner.version

    async def order(self, route: Route, outputs: tuple[str, ...]) -> Order:
        """Check it against what the model takes."""
        return await self._inner.order(route, outputs or self._outputs)


def _inner(fields: FormFields) -> Input:
    if fields.images and fields.input is not None:
        raise UnacceptableError("The form has both 'image' and 'input'; send one.", code="bad_body")
    if fields.images:
        return ImageInput(fields.images)
    if fields.input is None:
        raise MalformedError(
            "The form has no input: send a picture in the part 'image', or a file with JSON or npy in "
            "the part 'input'.",
            code="no_input",
        )
    return ArrayInput(fields.input) if fields.input.startswith(npy.MAGIC) else document(fields.input)


async def read_form(req: falcon.asgi.Request, limit: int) -> FormInput:
    """Read the form of a request.

    Raises:
        MalformedError: it breaks off, is none, or has no input.
        TooLargeError: it is larger than `limit` bytes.
        UnacceptableError: it has parts that mean nothing here.
        ConflictError: it holds a bundle.
    """
    fields = FormFields()
    unknown: str | None = None
    async for part in parts(req, FormLimits(body=limit)):
        match part.name:
            case "image":
                fields.images = [*fields.images, await part.read(limit)]
            case "input" if fields.input is None:
                fields.input = await part.read(limit)
            case "model" if fields.model is None:
                fields.model = (await part.text()).strip()
            case "version" if fields.version is None:
                fields.version = (await part.text()).strip()
            case "outputs":
                words = (await part.text()).split(",")
                fields.outputs += tuple(word.strip() for word in words if word.strip())
            case "file" | "bundle" | "metadata":
                raise ConflictError(
                    "The model is there already; send another bundle to its address with /upload.",
                    code="model_exists",
                )
            case _ if part.is_file:
                raise _unknown(part.name)
            case _:
                # The rest may tell better what is meant.
                unknown = unknown or part.name
    if unknown is not None:
        raise _unknown(unknown)
    return FormInput(fields)


def _unknown(name: str) -> UnacceptableError:
    detail = f"The form's part {name!r} means nothing here, or is there twice."
    return UnacceptableError(detail, code="unknown_part", fields=(FieldError(f"/{name}", detail),))
