"""Adapters to model servers: one class a protocol, and the one table that finds it."""

from collections.abc import Callable
from typing import Final

from mlhub.common.settings import BackendSettings
from mlhub.workers.adapters.base import BackendAdapter
from mlhub.workers.adapters.oip import OpenInferenceAdapter

_ADAPTERS: Final[dict[str, Callable[[BackendSettings], BackendAdapter]]] = {
    "oip": OpenInferenceAdapter,
}


def create_adapter(settings: BackendSettings) -> BackendAdapter:
    """Make the adapter that speaks the backend's protocol."""
    return _ADAPTERS[settings.protocol](settings)
