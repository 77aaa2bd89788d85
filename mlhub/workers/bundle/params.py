"""What a bundle in the layout of TFaaS says of its model in `params.json`."""

from pathlib import Path
from typing import Any, Final

import msgspec

from mlhub.common.errors import UnacceptableError

FILE: Final = "params.json"
_MOST: Final = 1024 * 1024
"""Bytes that either file may have."""


class Params(msgspec.Struct, frozen=True):
    """The part of it that the hub uses; the file has more, for TFaaS itself."""

    img_channels: Any = None
    """Numbers a pixel has; 0 where the model takes no pictures."""
    labels: Any = None
    """Name of the file with the names of the classes, one a line."""


_DECODER: Final = msgspec.json.Decoder(Params)


def read(root: Path) -> Params:
    """Read the file in the folder with the bundle's files; one that is not TFaaS's says nothing."""
    path = root / FILE
    if not path.is_file() or path.stat().st_size > _MOST:
        return Params()
    try:
        return _DECODER.decode(path.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Params()


def read_labels(root: Path, params: Params) -> tuple[str, ...]:
    """Read the file of labels that `params` names, or `labels.txt`; without one there are none.

    Raises:
        UnacceptableError: it is not text, or too large.
    """
    name = params.labels if isinstance(params.labels, str) and params.labels else "labels.txt"
    # Only a file beside it: a path could lead out of the bundle.
    path = root / Path(name).name
    if not Path(name).name or not path.is_file():
        return ()
    if path.stat().st_size > _MOST:
        raise UnacceptableError(f"The bundle's {path.name} is too large for labels.", code="bad_description")
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UnacceptableError(f"The bundle's {path.name} is not UTF-8.", code="bad_description") from error
    return tuple(line.strip() for line in lines if line.strip())
