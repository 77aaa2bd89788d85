"""The frameworks that get a backend of their own on this machine."""

from mlhub.common.errors import UnacceptableError
from mlhub.common.model import ModelType
from mlhub.common.settings import FRAMEWORK_TYPES
from mlhub.servers.frameworks import check_framework


def chosen(wanted: tuple[str, ...] | None) -> dict[str, ModelType]:
    """Return those that get a model server, without importing any.

    Args:
        wanted: their names; nothing for each whose extra is installed.

    Raises:
        UnacceptableError: one of them does not exist or is not installed; the sentence says what to do.
    """
    if wanted is None:
        return {name: model_type for name, model_type in FRAMEWORK_TYPES.items() if _is_installed(name)}
    for name in wanted:
        check_framework(name)
    return {name: FRAMEWORK_TYPES[name] for name in dict.fromkeys(wanted)}


def _is_installed(name: str) -> bool:
    try:
        check_framework(name)
    except UnacceptableError:
        return False
    return True
