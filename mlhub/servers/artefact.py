"""The one file that is the model, and what every runtime watches for when it reads a file from elsewhere."""

import math
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from mlhub.common.errors import UnacceptableError
from mlhub.common.signature import ANY, TensorSpec

_LARGEST_ROW: Final = 2**25
"""Values of a row: many times what a request may hold."""
UNREADABLE: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    msgspec.MsgspecError,
    pickle.PickleError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a broken or foreign file raises: these formats build nearly any object from what they find."""


def files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """Return the files at the top of a bundle that end so, in order; hidden ones are none."""
    wanted = tuple(suffixes)
    return sorted(
        path for path in folder.iterdir() if path.suffix in wanted and path.name[0] != "." and path.is_file()
    )


def the_one(found: list[Path], wanted: str) -> Path:
    """Return the only file there is.

    Args:
        found: what there is.
        wanted: what there should be, such as `*.keras file`, for the sentence that says that there is none.

    Raises:
        UnacceptableError: there is none, or there are several.
    """
    if not found:
        raise refusal(f"the bundle has no {wanted}")
    if len(found) > 1:
        raise refusal(f"the bundle has several models: {', '.join(path.name for path in found)}")
    return found[0]


def check_unpacked(path: Path, limit: int) -> None:
    """Look at what a zip says it unpacks to.

    Raises:
        UnacceptableError: that is more than `limit` bytes.
        BadZipFile: it is no zip.
    """
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > limit:
        raise refusal(f"{path.name} unpacks to {unpacked} bytes, more than this server has for models")


def check_rows(specs: Iterable[TensorSpec]) -> None:
    """Look at how large one row of each tensor is, before one is made to try a model with.

    Raises:
        UnacceptableError: no request could hold one.
    """
    for spec in specs:
        count = math.prod(extent for extent in spec.shape if extent != ANY)
        if count > _LARGEST_ROW:
            raise refusal(f"a row of its {spec.name!r} has {count} values, and may have {_LARGEST_ROW}")


def unreadable(path: Path, error: BaseException) -> UnacceptableError:
    """Make the error for a file that a library cannot read, with the library's own words."""
    return refusal(f"{path.name} cannot be loaded: {first_line(error)}")


def refusal(what: str) -> UnacceptableError:
    """Make the error for a model that cannot be served; `what` says why and goes on after a colon."""
    return UnacceptableError(f"The model cannot be served: {what.rstrip('.')}.", code="not_loadable")


def first_line(error: BaseException) -> str:
    """Return the kind of an error and the first line of what it says."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
