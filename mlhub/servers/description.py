"""What a bundle's `mlhub.json` says to a model server: the signature, where the model cannot tell."""

from pathlib import Path
from typing import Final

import msgspec

from mlhub.common.errors import UnacceptableError
from mlhub.common.signature import Signature, TensorSpec
from mlhub.common.tensor import DTYPES, MISSABLE

FILE: Final = "mlhub.json"


class Description(msgspec.Struct, frozen=True):
    """The part of the file that concerns a model server."""

    signature: Signature | None = None
    """What the model takes and gives; takes precedence over what the runtime finds out."""


_DECODER: Final = msgspec.json.Decoder(Description)


def read(folder: Path) -> Description:
    """Read the description in a bundle's folder; without one, it is empty.

    Raises:
        UnacceptableError: the file is not such a description.
    """
    try:
        text = (folder / FILE).read_bytes()
    except FileNotFoundError:
        return Description()
    except OSError as error:
        raise _bad(f"cannot be read: {error.strerror}") from error
    try:
        description = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(f"cannot be used: {error}") from error
    if description.signature is not None:
        if not description.signature.inputs:
            raise _bad("has a signature without inputs")
        for spec in description.signature.inputs + description.signature.outputs:
            _check(spec)
            if spec.allow_missing and spec.datatype not in MISSABLE:
                raise _bad(f"lets {spec.name!r} be missing, which {spec.datatype} cannot be")
    return description


def _check(spec: TensorSpec) -> None:
    if spec.datatype not in DTYPES:
        raise _bad(f"gives {spec.name!r} the datatype {spec.datatype!r}, which does not exist")
    if not spec.shape or any(extent < -1 for extent in spec.shape):
        raise _bad(f"gives {spec.name!r} the shape {list(spec.shape)}, which is none: [-1, …] is")


def _bad(what: str) -> UnacceptableError:
    return UnacceptableError(f"The bundle's {FILE} {what}.", code="bad_description")
