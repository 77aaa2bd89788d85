"""How a picture becomes a model's input: what its bundle says, completed by what the model takes."""

import math
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from mlhub.common.errors import UnacceptableError
from mlhub.common.signature import ANY, Signature, TensorSpec

Layout = Literal["HWC", "CHW"]
"""Order of the extents of a picture: height, width, channels, or channels first."""

_Pixels = Annotated[int, Meta(ge=1, le=16384)]
_Finite = Annotated[float, Meta(ge=-1e9, le=1e9)]
_Divisor = Annotated[float, Meta(ge=1e-9, le=1e9)]
_CHANNELS: Final = (1, 3, 4)
_HOW: Final = 'say it in the bundle\'s mlhub.json: {"image": {"size": [height, width], "channels": 3}}'


class ImageSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a bundle says of pictures; what it leaves out follows from the model's signature."""

    size: tuple[_Pixels, _Pixels] | None = None
    """Height and width, in pixels."""
    channels: Literal[1, 3, 4] | None = None
    """Numbers a pixel has: grey, colour, or colour and opacity."""
    scale: _Divisor = 1.0
    """What the values of pixels, 0 to 255, are divided by."""
    layout: Layout | None = None
    """Order of the extents, where the signature can be read in two ways."""
    mean: _Finite | Annotated[tuple[_Finite, ...], Meta(min_length=1, max_length=4)] = 0.0
    """What is subtracted after that, one number or one for each channel."""
    std: _Divisor | Annotated[tuple[_Divisor, ...], Meta(min_length=1, max_length=4)] = 1.0
    """What the difference is divided by, one number or one for each channel."""
    invert: bool = False
    """Whether bright becomes dark first, for models that expect bright strokes on dark ground."""


class ImagePlan(msgspec.Struct, frozen=True):
    """All that has to be known to turn a picture into the row of a model."""

    tensor: TensorSpec
    """The model's input."""
    size: tuple[int | None, int | None]
    """Height and width to bring it to; the picture's own where there is none."""
    channels: int
    layout: Layout
    spec: ImageSpec
    """How values are changed."""
    dimensions: int
    """How many the picture has in the tensor: 1 flat, 2 grey, 3 with channels; a further one counts rows."""


def takes_files(signature: Signature) -> bool:
    """Tell whether a model takes pictures as files, a `BYTES` element each, as TFaaS does."""
    inputs = signature.inputs
    return len(inputs) == 1 and inputs[0].datatype == "BYTES" and inputs[0].shape == (ANY,)


def plan(spec: ImageSpec | None, signature: Signature) -> ImagePlan:
    """Work out how pictures become the input of a model.

    Args:
        spec: what its bundle says, if anything.
        signature: what the model takes.

    Raises:
        UnacceptableError: it takes no pictures, or does not say how.
    """
    said = spec or ImageSpec()
    if len(signature.inputs) != 1:
        raise _no("has several inputs, and a picture can be only one")
    tensor = signature.inputs[0]
    if tensor.datatype in {"BYTES", "BOOL"}:
        raise _no(f"takes {tensor.datatype}, not numbers")
    row = tensor.row if tensor.shape[:1] == (ANY,) else tensor.shape
    if len(row) == len(tensor.shape) and len(row) > 1 and row[0] == 1:
        # A model of exactly one row a call.
        row = row[1:]
    if len(row) == 1:
        found = _flat(said, tensor, row[0])
    elif len(row) == 2:  # noqa: PLR2004
        found = ImagePlan(tensor, _size(said, row[0], row[1]), 1, "HWC", said, 2)
    elif len(row) == 3:  # noqa: PLR2004
        found = _spatial(said, tensor, row)
    else:
        raise _no(f"takes rows of {len(row)} dimensions")
    _check(found)
    return found


def _flat(said: ImageSpec, tensor: TensorSpec, length: int) -> ImagePlan:
    """Plan for a row without extents of its own: the pixels one after the other."""
    layout = said.layout or "HWC"
    if said.size is not None:
        channels = said.channels or _quotient(length, math.prod(said.size))
        return ImagePlan(tensor, said.size, channels, layout, said, 1)
    for channels in (1, 3, 4) if said.channels is None else (said.channels,):
        side = math.isqrt(max(length, 0) // channels)
        if side and side * side * channels == length:
            return ImagePlan(tensor, (side, side), channels, layout, said, 1)
    raise _no(f"takes rows of {'any number of' if length == ANY else length} numbers, which is no square")


def _quotient(length: int, pixels: int) -> int:
    return length // pixels if length > 0 and length % pixels == 0 else 1


def _spatial(said: ImageSpec, tensor: TensorSpec, row: tuple[int, ...]) -> ImagePlan:
    """Plan for a row with three extents, of which one counts the channels."""
    layout = said.layout
    if layout is None:
        wanted = _CHANNELS if said.channels is None else (said.channels,)
        if row[2] in wanted:
            layout = "HWC"
        elif row[0] in wanted:
            layout = "CHW"
        else:
            layout = "CHW" if row[0] == ANY and row[2] != ANY else "HWC"
    extent, height, width = (row[2], row[0], row[1]) if layout == "HWC" else row
    channels = said.channels or (3 if extent == ANY else extent)
    if extent not in (ANY, channels):
        raise _no(f"takes {extent} numbers a pixel, but its bundle says {channels}")
    return ImagePlan(tensor, _size(said, height, width), channels, layout, said, 3)


def _size(said: ImageSpec, height: int, width: int) -> tuple[int | None, int | None]:
    size = said.size or (None, None)
    for extent, wanted in zip((height, width), size, strict=True):
        if wanted is not None and extent not in (ANY, wanted):
            raise _no(f"takes {height} x {width} pixels, but its bundle says {size[0]} x {size[1]}")
    return (size[0] if height == ANY else height, size[1] if width == ANY else width)


def _check(found: ImagePlan) -> None:
    if found.channels not in _CHANNELS:
        raise _no(f"takes {found.channels} numbers a pixel, and pictures have 1, 3 or 4")
    row = found.tensor.row
    if len(row) == 1 and row[0] != ANY and None not in found.size:
        count = math.prod(extent or 1 for extent in found.size) * found.channels
        if count != row[0]:
            raise _no(f"takes rows of {row[0]} numbers, but its bundle's pictures have {count}")
    for values in (found.spec.mean, found.spec.std):
        if isinstance(values, tuple) and len(values) not in (1, found.channels):
            raise _no(
                f"has {found.channels} numbers a pixel, but its bundle gives {len(values)} in mean or std"
            )


def _no(why: str) -> UnacceptableError:
    return UnacceptableError(f"Pictures do not fit this model: it {why}; {_HOW}.", code="no_image_input")
