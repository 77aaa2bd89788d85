"""PyTorch's zips from elsewhere: copied before PyTorch reads them, with nothing in the copy that could run.

Both of PyTorch's formats are zips that may hold pickles, source text and compiled code beside weights.
PyTorch reads the copy, so that it cannot find in a zip what Python's reader did not see.
"""

import pickletools
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Final

from mlhub.servers.artefact import check_unpacked, refusal


class Fate(Enum):
    """What becomes of an entry that is not changed."""

    KEPT = "kept"
    DROPPED = "dropped"


Rule = Callable[[str, Callable[[], bytes]], bytes | Fate]
"""Decides on an entry by its name, without the folder around all, and reads it with the second argument.

Returns what stands in its place. Raises `UnacceptableError` for what no model may hold.
"""

_PIECE: Final = 1024 * 1024
_TOP: Final = "model"
"""Folder around all entries of a copy."""
_PICKLE: Final = 64 * 1024 * 1024
"""Bytes that a pickle may have: it holds the tree of a model's parts, not the weights."""
_GLOBALS: Final = re.compile(
    r"__torch__(\.\w+)+|collections\.OrderedDict|torch\.(storage\.)?\w+Storage|torch\.(device|Size)"
    r"|torch\._utils\._rebuild_(tensor|tensor_v2|parameter|qtensor)|torch\.per_\w+"
    r"|torch\.jit\._pickle\.(build_\w+list|restore_type_tag)"
)
"""Names that a pickle in a TorchScript file refers to: types of its own source text, and parts of tensors."""
_FOREIGN: Final = re.compile(r"__torch__\.torch\.classes\.(?!quantized\.)")
"""Types in compiled code, other than the weights of quantised layers."""
_NAMING: Final = ("GLOBAL", "INST")
"""Operations of a pickle that name something, and have the name with them."""
_HIDING: Final = ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER")
"""Operations that name something elsewhere, which PyTorch's own pickles do not use."""


def names(path: Path) -> frozenset[str]:
    """Return the names of all entries, without the folder around all.

    Raises:
        BadZipFile: it is no zip.
    """
    with zipfile.ZipFile(path) as archive:
        return frozenset(name.partition("/")[2] for name in archive.namelist())


@contextmanager
def copied(path: Path, rule: Rule, limit: int) -> Iterator[Path]:
    """Copy a zip, entry by entry, for as long as the context lasts.

    Args:
        path: the zip.
        rule: decides on each entry.
        limit: bytes it may unpack to.

    Raises:
        UnacceptableError: it is larger, or holds what no model may.
        BadZipFile: it is no zip.
    """
    check_unpacked(path, limit)
    with tempfile.TemporaryDirectory(prefix="mlhub-") as folder:
        target = Path(folder) / path.name
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
            members = source.infolist()
            if len({member.filename for member in members}) < len(members):
                raise refusal(f"{path.name} holds two entries of one name")
            if len({member.filename.partition("/")[0] for member in members}) > 1:
                raise refusal(f"{path.name} holds more than one folder")
            for member in members:
                _copy(source, member, copy, rule)
        yield target


def _copy(source: zipfile.ZipFile, member: zipfile.ZipInfo, copy: zipfile.ZipFile, rule: Rule) -> None:
    name = member.filename.partition("/")[2]
    fate = rule(name, lambda: source.read(member))
    if fate is Fate.DROPPED:
        return
    # Nothing of the old header is taken over.
    fresh = zipfile.ZipInfo(f"{_TOP}/{name}")
    fresh.file_size = member.file_size
    with copy.open(fresh, "w") as target:
        if isinstance(fate, bytes):
            target.write(fate)
            return
        with source.open(member) as file:
            while piece := file.read(_PIECE):
                target.write(piece)


def check_pickle(name: str, content: bytes) -> None:
    """Look at all that a pickle refers to, without unpickling it.

    Raises:
        UnacceptableError: it refers to what is no part of a model, or hides what it refers to.
        ValueError: it is no pickle.
    """
    if len(content) > _PICKLE:
        raise refusal(f"its {name} has {len(content)} bytes, more than the description of any model")
    for operation, argument, _ in pickletools.genops(content):
        if operation.name in _HIDING:
            raise refusal(f"its {name} is a pickle that PyTorch has not written")
        if operation.name in _NAMING:
            reference = str(argument).replace(" ", ".")
            if _FOREIGN.match(reference) or not _GLOBALS.fullmatch(reference):
                raise refusal(
                    f"its {name} is a pickle that refers to {reference}, which could run any code; "
                    "save the model with torch.export.save"
                )
