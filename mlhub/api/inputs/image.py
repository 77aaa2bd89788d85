"""Input as pictures."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from mlhub.api.inputs import picture
from mlhub.api.inputs.base import check_outputs
from mlhub.api.services.predictions import Order
from mlhub.api.services.routes import Route
from mlhub.common import rows
from mlhub.common.errors import UnacceptableError
from mlhub.common.image import ImagePlan, ImageSpec, plan, takes_files
from mlhub.common.signature import ANY
from mlhub.common.tensor import Array

_QUICK_BYTES: Final = 16 * 1024
_QUICK_PIXELS: Final = 128 * 128
"""What is decoded in less time than handing it to a thread takes."""


class ImageInput:
    """One picture, or several, each a row."""

    def __init__(
        self, contents: Sequence[bytes], model: str | None = None, version: str | None = None
    ) -> None:
        self._contents = contents
        self.model = model
        self.version = version

    async def order(self, route: Route, outputs: tuple[str, ...]) -> Order:
        """Decode them and check them against what the model takes."""
        names = check_outputs(outputs, route.signature)
        if takes_files(route.signature):
            return Order(route, await self._files(route), names)
        wanted = plan(route.image, route.signature)
        arrays = [await _decode(content, wanted) for content in self._contents]
        batched = wanted.tensor.shape[:1] == (ANY,)
        if len(arrays) > 1 and not batched:
            raise UnacceptableError("This model takes one picture at a time.", code="bad_input")
        if len({array.shape for array in arrays}) > 1:
            raise UnacceptableError(
                "The pictures differ in size, and this model takes them as they are.", code="bad_input"
            )
        stacked = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        given = rows.from_tensors({wanted.tensor.name: stacked}, route.signature)
        single = len(arrays) == 1 and batched
        return Order(route, msgspec.structs.replace(given, single=single), names)

    async def _files(self, route: Route) -> rows.Rows:
        """Leave the pictures files, for a server that decodes them itself."""
        spec = route.image or ImageSpec()
        files = np.empty(len(self._contents), dtype=object)
        for index, content in enumerate(self._contents):
            files[index] = await asyncio.to_thread(picture.refit, content, spec)
        given = rows.from_tensors({route.signature.inputs[0].name: files}, route.signature)
        return msgspec.structs.replace(given, single=len(files) == 1)


async def _decode(content: bytes, wanted: ImagePlan) -> Array:
    if len(content) <= _QUICK_BYTES and picture.pixels(content) <= _QUICK_PIXELS:
        return picture.decode(content, wanted)
    return await asyncio.to_thread(picture.decode, content, wanted)
