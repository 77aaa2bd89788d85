"""The frameworks that get a backend of their own on this machine, when they are installed."""

from typing import Final

from mlhub.common.errors import UnacceptableError
from mlhub.common.model import ModelType
from mlhub.servers.frameworks import check_framework

TYPES: Final = {
    "sklearn": ModelType.SKLEARN,
}
"""Types of model by the name of the framework: of its backend, its extra, and its server."""


def installed() -> dict[str, ModelType]:
    """Return those whose extra is installed, without importing any."""
    return {name: model_type for name, model_type in TYPES.items() if _is_installed(name)}


def _is_installed(name: str) -> bool:
    try:
        check_framework(name)
    except UnacceptableError:
        return False
    return True
