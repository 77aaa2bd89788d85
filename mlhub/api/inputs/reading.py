"""From a request to its input, whatever form it comes in."""

from collections.abc import Callable
from typing import Final

import falcon.asgi

from mlhub.api.inputs.array import ArrayInput
from mlhub.api.inputs.base import Input
from mlhub.api.inputs.coding import read_unpacked
from mlhub.api.inputs.document import DocumentInput
from mlhub.api.inputs.form import read_form
from mlhub.api.inputs.image import ImageInput
from mlhub.api.multipart import is_form
from mlhub.common import npy
from mlhub.common.errors import UnsupportedMediaError

_FORMS: Final[dict[str, Callable[[bytes], Input]]] = {
    "application/json": DocumentInput,
    npy.TYPE: ArrayInput,
    "image/png": lambda content: ImageInput([content]),
    "image/jpeg": lambda content: ImageInput([content]),
}
"""What reads a body, by its media type; forms aside, which are read part by part."""


async def read_input(req: falcon.asgi.Request, limit: int) -> Input:
    """Read the body of a request.

    Raises:
        UnsupportedMediaError: it is of a kind that is no input.
        MalformedError: it is broken, or breaks off.
        UnacceptableError: it is well formed, but no input.
        TooLargeError: it has more than `limit` bytes.
    """
    if is_form(req):
        if req.get_header("Content-Encoding"):
            raise UnsupportedMediaError("A form is sent as it is, not packed.")
        return await read_form(req, limit)
    kind = (req.content_type or "application/json").partition(";")[0].strip().lower()
    form = _FORMS.get(kind)
    if form is None:
        way = "send it with 'content-type: application/json'"
        if kind.startswith("image/"):
            way = "save it as PNG or JPEG"
        what = kind[:80] or "a body without a type"
        raise UnsupportedMediaError(f"A prediction takes JSON, npy, a picture or a form, not {what}; {way}.")
    return form(await read_unpacked(req, limit))
