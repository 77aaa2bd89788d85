"""Looks at what an unpacked bundle holds: the model's files, and what `mlhub.json` says of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from mlhub.common.errors import UnacceptableError
from mlhub.common.model import ModelType
from mlhub.common.signature import Signature
from mlhub.common.tensor import DTYPES

_DESCRIPTION: Final = "mlhub.json"
_MOST: Final = 1024 * 1024
"""Bytes `mlhub.json` may have."""


class ImageDescription(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a picture becomes the model's input."""

    size: tuple[int, int]
    """Height and width, in pixels."""
    channels: int = 3
    scale: float = 1.0
    """What the values of pixels are divided by."""


class BundleDescription(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bundle says of its model in `mlhub.json`."""

    input_example: Any = None
    """An input the model accepts, tried during validation."""
    labels: tuple[str, ...] = ()
    """Names of the classes, in the order of the model's outputs."""
    signature: Signature | None = None
    """What the model takes and gives, where its server cannot tell."""
    image: ImageDescription | None = None


class BundleContents(msgspec.Struct, frozen=True):
    """An unpacked bundle that holds a model of the declared type."""

    root: Path
    """The folder with the model's files."""
    description: BundleDescription


class _Rule(msgspec.Struct, frozen=True):
    """What a bundle of one type holds."""

    patterns: tuple[str, ...]
    """Files of which there must be one."""
    pickles: tuple[str, ...] = ()
    """Files that will do where pickles are allowed."""
    save: str = ""
    """How to make such a file."""


_RULES: Final[dict[ModelType, _Rule]] = {
    ModelType.TENSORFLOW: _Rule(("saved_model.pb",), save="model.export(…) or tf.saved_model.save"),
    ModelType.PYTORCH: _Rule(("*.pt2", "*.pt"), save="torch.export.save or torch.jit.save"),
    ModelType.KERAS: _Rule(("*.keras",), save="model.save('model.keras')"),
    ModelType.SKLEARN: _Rule(("*.skops",), ("*.joblib", "*.pkl", "*.pickle"), save="skops.io.dump"),
}


def inspect(folder: Path, model_type: ModelType, *, allow_pickles: bool) -> BundleContents:
    """Find the model's files and description.

    Args:
        folder: where the bundle was unpacked.
        model_type: what the entry says it is.
        allow_pickles: whether files that can run any code when they are loaded will do.

    Raises:
        UnacceptableError: there is no model of that type, or the description is wrong.
    """
    root = _root(folder)
    rule = _RULES[model_type]
    patterns = rule.patterns + (rule.pickles if allow_pickles else ())
    if not _holds(root, patterns):
        raise UnacceptableError(_why_not(root, model_type, rule), code="no_model")
    return BundleContents(root, _description(root))


def _root(folder: Path) -> Path:
    """Return the folder with the files: the top, or the only folder that is there."""
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _holds(root: Path, patterns: tuple[str, ...]) -> bool:
    return next(_matches(root, patterns), None) is not None


def _matches(root: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    return (path for pattern in patterns for path in sorted(root.glob(pattern)) if path.is_file())


def _why_not(root: Path, model_type: ModelType, rule: _Rule) -> str:
    pickle = next(_matches(root, rule.pickles), None)
    if pickle is not None:
        return (
            f"The bundle holds {pickle.name}, a pickle, which could run any code on this hub; "
            f"save the model with {rule.save} instead."
        )
    for other, its_rule in _RULES.items():
        found = next(_matches(root, its_rule.patterns + its_rule.pickles), None)
        if other is not model_type and found is not None:
            return f"The bundle holds {found.name}, a {other} model, but the entry's type is {model_type}."
    wanted = " or ".join(rule.patterns)
    return f"The bundle holds no {model_type} model: there is no {wanted} in it; make one with {rule.save}."


def _description(root: Path) -> BundleDescription:
    path = root / _DESCRIPTION
    if not path.is_file():
        return BundleDescription()
    if path.stat().st_size > _MOST:
        raise _bad(f"it is larger than {_MOST} bytes")
    try:
        description = msgspec.json.decode(path.read_bytes(), type=BundleDescription)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _bad(str(error)) from error
    if description.signature is not None:
        specs = description.signature.inputs + description.signature.outputs
        unknown = [spec.datatype for spec in specs if spec.datatype not in DTYPES]
        if unknown or not description.signature.inputs:
            raise _bad(f"there is no datatype {unknown[0]}" if unknown else "its signature has no inputs")
    return description


def _bad(why: str) -> UnacceptableError:
    return UnacceptableError(f"The bundle's {_DESCRIPTION} is wrong: {why}.", code="bad_description")
