"""What a bundle says of its model in `mlhub.json`."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from mlhub.common.errors import UnacceptableError
from mlhub.common.image import ImageSpec
from mlhub.common.jsontensor import MAX_DEPTH
from mlhub.common.signature import ANY, Signature, TensorSpec
from mlhub.common.tensor import DTYPES, MISSABLE
from mlhub.workers.bundle import params
from mlhub.workers.bundle.params import Params

FILE: Final = "mlhub.json"
_MOST: Final = 16 * 1024 * 1024
"""Bytes the file may have: room for an example picture."""

_Name = Annotated[str, Meta(min_length=1, max_length=200)]
_Extent = Annotated[int, Meta(ge=ANY, le=2**31 - 1)]


class BundleDescription(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bundle says of its model."""

    input_example: Any = None
    """An input the model accepts, tried during validation."""
    labels: Annotated[tuple[_Name, ...], Meta(max_length=30_000)] = ()
    """Names of the classes, in the order of the model's outputs."""
    signature: Signature | None = None
    """What the model takes and gives, where its server cannot tell."""
    image: ImageSpec | None = None
    """How pictures are made to fit."""


class _TensorSpec(TensorSpec, frozen=True, forbid_unknown_fields=True):
    """The same as the record, with nothing more in it than there may be."""

    name: _Name
    shape: Annotated[tuple[_Extent, ...], Meta(min_length=1, max_length=MAX_DEPTH)]


class _Signature(Signature, frozen=True, forbid_unknown_fields=True):
    inputs: Annotated[tuple[_TensorSpec, ...], Meta(min_length=1, max_length=1000)]
    outputs: Annotated[tuple[_TensorSpec, ...], Meta(max_length=1000)] = ()


class _Description(BundleDescription, frozen=True, forbid_unknown_fields=True):
    signature: _Signature | None = None


_DECODER: Final = msgspec.json.Decoder(_Description)


def read(root: Path) -> BundleDescription:
    """Read the description in the folder with the bundle's files; without one it is empty.

    What it leaves out, TFaaS's `params.json` may say.

    Raises:
        UnacceptableError: it is wrong; the sentence says where.
    """
    found = _read(root)
    beside = params.read(root)
    return msgspec.structs.replace(
        found,
        labels=found.labels or params.read_labels(root, beside),
        image=found.image or _image(beside),
    )


def _read(root: Path) -> BundleDescription:
    path = root / FILE
    if not path.is_file():
        return BundleDescription()
    if path.stat().st_size > _MOST:
        raise _bad(f"it has more than {_MOST} bytes")
    try:
        found = _DECODER.decode(path.read_bytes())
    except RecursionError as error:
        raise _bad("it is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _bad(str(error).replace("`", "'")) from error
    signature = None
    if found.signature is not None:
        _check(found.signature.inputs)
        _check(found.signature.outputs)
        if any(spec.allow_missing for spec in found.signature.outputs):
            raise _bad("'allow_missing' is about inputs, and an output has it")
        signature = msgspec.convert(msgspec.to_builtins(found.signature), Signature)
    return BundleDescription(found.input_example, found.labels, signature, found.image)


def _image(beside: Params) -> ImageSpec | None:
    match beside.img_channels:
        case 1 | 3 | 4 as channels if not isinstance(channels, bool):
            return ImageSpec(channels=channels)
    return None


def _check(specs: tuple[TensorSpec, ...]) -> None:
    for spec in specs:
        if spec.datatype not in DTYPES:
            known = ", ".join(DTYPES)
            raise _bad(f"there is no datatype {spec.datatype!r} for {spec.name!r}; use one of {known}")
        if spec.allow_missing and spec.datatype not in MISSABLE:
            can = ", ".join(name for name in DTYPES if name in MISSABLE)
            raise _bad(f"it lets {spec.name!r} be missing, which {spec.datatype} cannot be; {can} can")
        if 0 in spec.shape:
            raise _bad(f"{spec.name!r} has a shape without elements; {ANY} stands for any extent")
    name, count = Counter(spec.name for spec in specs).most_common(1)[0] if specs else ("", 1)
    if count > 1:
        raise _bad(f"its signature has two tensors named {name!r}")


def _bad(why: str) -> UnacceptableError:
    return UnacceptableError(f"The bundle's {FILE} is wrong: {why}.", code="bad_description")
