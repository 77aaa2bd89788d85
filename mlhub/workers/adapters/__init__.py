"""Adapters to model servers: one class a protocol, and the one table that finds it."""

from collections.abc import Callable
from typing import Final

from mlhub.common.backend import BackendSettings
from mlhub.common.settings import SettingsError
from mlhub.workers.adapters.base import BackendAdapter
from mlhub.workers.adapters.external import ExternalAdapter
from mlhub.workers.adapters.mlserver import MLServerAdapter
from mlhub.workers.adapters.oip import OpenInferenceAdapter
from mlhub.workers.adapters.tfaas.adapter import TFaaSAdapter

ADAPTERS: Final[dict[str, Callable[[BackendSettings], BackendAdapter]]] = {
    "oip": OpenInferenceAdapter,
    "mlserver": MLServerAdapter,
    "external": ExternalAdapter,
    "tfaas": TFaaSAdapter,
}
"""What speaks each protocol that `BackendSettings.protocol` may name."""


def create_adapter(settings: BackendSettings) -> BackendAdapter:
    """Make the adapter that speaks the backend's protocol.

    Raises:
        SettingsError: there is none, or the settings are not what it takes.
    """
    if settings.protocol not in ADAPTERS:
        known = ", ".join(ADAPTERS)
        raise SettingsError(f"There is no protocol {settings.protocol!r} for backends; use one of {known}.")
    return ADAPTERS[settings.protocol](settings)
