"""Pictures → arrays: PNG and JPEG, brought to the size, channels and values that a model takes."""

import io
import struct
import zlib
from typing import Any, Final

import numpy as np
from PIL import Image

from mlhub.common.errors import UnacceptableError
from mlhub.common.image import ImagePlan, ImageSpec
from mlhub.common.tensor import DTYPES, Array

MAX_PIXELS: Final = 50_000_000
"""Pixels that a picture may have, known before any of them is decoded."""
_FORMATS: Final = ("PNG", "JPEG")
_ORIENTATION: Final = 0x0112
"""Number of the entry in EXIF data that says how the camera was held."""
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MODES: Final = {1: "L", 3: "RGB", 4: "RGBA"}
_BROKEN: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises on files that are not what they say."""

# The limit here is this module's own, and refuses instead of warning.
Image.MAX_IMAGE_PIXELS = None


def pixels(content: bytes) -> int:
    """Return how many pixels a picture has, as its header says.

    Raises:
        UnacceptableError: it is no picture, or has more than are taken.
    """
    with _open(content) as image:
        return image.width * image.height


def decode(content: bytes, plan: ImagePlan) -> Array:
    """Return a picture as the model's input, one row.

    Args:
        content: a PNG or JPEG file.
        plan: what the model takes.

    Raises:
        UnacceptableError: it is no picture, broken, or larger than is taken.
    """
    with _open(content) as image:
        try:
            image.load()
            fitted = _resized(_coloured(_turned(image), plan.channels), plan.size)
        except _BROKEN as error:
            raise _bad("is broken or cut off; save it again") from error
    return _values(np.asarray(fitted), plan)


def refit(content: bytes, spec: ImageSpec) -> bytes:
    """Return a picture as a file for a model server that decodes it itself; what fits already stays as it is.

    Args:
        content: a PNG or JPEG file.
        spec: what the bundle says of size and channels; values are the server's own concern.

    Raises:
        UnacceptableError: it is no picture, broken, or larger than is taken.
    """
    with _open(content) as image:
        try:
            image.load()
            fitted = _turned(image)
            if spec.channels is not None:
                fitted = _coloured(fitted, spec.channels)
            fitted = _resized(fitted, spec.size or (None, None))
            if fitted is image:
                return content
            file = io.BytesIO()
            fitted.save(file, "PNG")
        except _BROKEN as error:
            raise _bad("is broken or cut off; save it again") from error
    return file.getvalue()


def _open(content: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(content), formats=_FORMATS)
    except _BROKEN as error:
        raise _bad("is not a PNG or JPEG that can be read") from error
    if image.width * image.height > MAX_PIXELS:
        raise _bad(f"has {image.width} x {image.height} pixels, more than the {MAX_PIXELS} that are taken")
    return image


def _turned(image: Image.Image) -> Image.Image:
    """Turn a photograph as it was seen."""
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except _BROKEN:
        # Broken notes about a picture do not make the picture worse.
        turn = None
    return image if turn is None else image.transpose(turn)


def _coloured(image: Image.Image, channels: int) -> Image.Image:
    """Bring a picture to grey, colour, or colour with opacity; what shines through is white."""
    if image.mode.startswith(("I", "F")):
        # 16 bits a pixel; Pillow itself would cut off what is above 255.
        wide = np.asarray(image).astype(np.float64)
        image = Image.fromarray(np.rint(wide.clip(0, 65535) / 257).astype(np.uint8))
    if channels != 4 and (image.mode in {"LA", "La", "PA", "RGBA", "RGBa"} or "transparency" in image.info):  # noqa: PLR2004
        seen = image.convert("RGBA")
        ground = Image.new("RGBA", seen.size, "white")
        image = Image.alpha_composite(ground, seen)
    return image if image.mode == _MODES[channels] else image.convert(_MODES[channels])


def _resized(image: Image.Image, wanted: tuple[int | None, int | None]) -> Image.Image:
    height, width = wanted
    size = (width or image.width, height or image.height)
    if size[0] * size[1] > MAX_PIXELS:
        raise UnacceptableError(
            f"The model takes pictures of {size[0]} x {size[1]} pixels here, and at most {MAX_PIXELS} "
            "are made.",
            code="bad_image",
        )
    return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)


def _values(raw: Array, plan: ImagePlan) -> Array:
    values: Array = raw.astype(np.float32).reshape(*raw.shape[:2], plan.channels)
    spec = plan.spec
    if spec.invert:
        colours = 3 if plan.channels == 4 else plan.channels  # noqa: PLR2004 (opacity is no colour)
        values[..., :colours] = 255 - values[..., :colours]
    if spec.scale != 1:
        values /= np.float32(spec.scale)
    mean, std = np.asarray(spec.mean, np.float32), np.asarray(spec.std, np.float32)
    if mean.any() or (std != 1).any():
        values = (values - mean) / std
    if plan.layout == "CHW":
        values = values.transpose(2, 0, 1)
    return _shaped(_cast(values, DTYPES[plan.tensor.datatype]), plan)


def _cast(values: Array, dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "f":
        limits = np.finfo(dtype)
        return values.clip(float(limits.min), float(limits.max)).astype(dtype)
    bounds = np.iinfo(dtype)
    return np.rint(values).clip(max(bounds.min, -(2**53)), min(bounds.max, 2**53)).astype(dtype)


def _shaped(values: Array, plan: ImagePlan) -> Array:
    if plan.dimensions == 1:
        values = values.reshape(-1)
    elif plan.dimensions == 2:  # noqa: PLR2004
        values = values.reshape(values.shape[:2])
    return values[None] if len(plan.tensor.shape) > plan.dimensions else values


def _bad(why: str) -> UnacceptableError:
    return UnacceptableError(f"The picture {why}.", code="bad_image")
