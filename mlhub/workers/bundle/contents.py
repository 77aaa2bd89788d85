"""Looks at what an unpacked bundle holds: the model's files, and what `mlhub.json` says of it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from mlhub.common.errors import UnacceptableError
from mlhub.common.model import ModelType
from mlhub.workers.bundle import description
from mlhub.workers.bundle.description import BundleDescription
from mlhub.workers.bundle.layout import LAYOUTS, Format, Layout

_LISTED: Final = 5
"""Files that a sentence names."""
_ATTIC: Final = "__MACOSX"
"""Folder that macOS adds to zips."""


class BundleContents(msgspec.Struct, frozen=True):
    """An unpacked bundle that holds a model of the declared type."""

    root: Path
    """The folder with the model's files."""
    description: BundleDescription


def inspect(folder: Path, model_type: ModelType, *, allow_pickles: bool) -> BundleContents:
    """Find the model's files and description.

    Args:
        folder: where the bundle was unpacked.
        model_type: what the entry says it is.
        allow_pickles: whether files that can run any code when they are loaded will do.

    Raises:
        UnacceptableError: there is no model of that type, or the description is wrong.
    """
    root = root_of(folder)
    layout = LAYOUTS[model_type]
    found = [(path, kind) for kind in layout.formats for path in _files(root, (kind.pattern,))]
    pickles = _files(root, layout.pickles)
    if found:
        _require_one([path for path, _ in found])
        _require_whole(*found[0], layout)
    elif pickles and allow_pickles:
        _require_one(pickles)
    else:
        raise UnacceptableError(_why_not(root, model_type), code="no_model")
    for name in layout.folders:
        if not (root / name).is_dir():
            raise UnacceptableError(
                f"The bundle holds {found[0][0].name} without its folder '{name}'; pack both.",
                code="no_model",
            )
    return BundleContents(root, description.read(root))


def root_of(folder: Path) -> Path:
    """Return the folder with the files: the top, or the only folder that is there."""
    inside = _visible(folder)
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.name != _ATTIC)


def _files(root: Path, patterns: Iterable[str]) -> list[Path]:
    return [
        path for path in _visible(root) if path.is_file() and any(path.match(pattern) for pattern in patterns)
    ]


def _require_one(paths: list[Path]) -> None:
    if len(paths) > 1:
        names = " and ".join(path.name for path in paths[:_LISTED])
        raise UnacceptableError(
            f"The bundle holds {names}; leave only the one that is to be served.", code="several_models"
        )


def _require_whole(path: Path, kind: Format, layout: Layout) -> None:
    if not kind.is_whole(path):
        raise UnacceptableError(
            f"The bundle's {path.name} {layout.unlike}; save the model with {layout.save}.",
            code="no_model",
        )


def _why_not(root: Path, model_type: ModelType) -> str:
    layout = LAYOUTS[model_type]
    if found := _files(root, layout.pickles):
        return (
            f"The bundle holds {found[0].name}, a pickle, which could run any code on this hub; "
            f"save the model with {layout.save} instead."
        )
    for other, its_layout in LAYOUTS.items():
        patterns = (*(kind.pattern for kind in its_layout.formats), *its_layout.pickles)
        if found := _files(root, patterns):
            name = found[0].name
            return f"The bundle holds {name}, which is a {other} model; the entry's type is {model_type}."
    if found := _files(root, layout.foreign):
        return (
            f"The bundle holds {found[0].name}, a form of model that is not served here; "
            f"save the model with {layout.save}."
        )
    names = [path.name + "/" * path.is_dir() for path in _visible(root)]
    more = ", …" if len(names) > _LISTED else ""
    holds = f"it holds {', '.join(names[:_LISTED])}{more}" if names else "it is empty"
    wanted = " or ".join(kind.pattern for kind in layout.formats)
    return (
        f"The bundle holds no {model_type} model: there is no {wanted} at its top or in its only folder, "
        f"{holds}; save the model with {layout.save}."
    )
