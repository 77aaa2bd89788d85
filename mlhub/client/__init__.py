"""The Python client and the command line on top of it."""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mlhub.client.client import Client
    from mlhub.client.errors import HubError
    from mlhub.client.job import Job
    from mlhub.client.webhook import verify_webhook

__all__ = ["Client", "HubError", "Job", "verify_webhook"]

_HOMES: Final = {
    "Client": "mlhub.client.client",
    "HubError": "mlhub.client.errors",
    "Job": "mlhub.client.job",
    "verify_webhook": "mlhub.client.webhook",
}


def __getattr__(name: str) -> Any:
    # The command line imports this package to show its help; numpy and requests should not slow that down.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
