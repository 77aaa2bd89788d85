"""The Python client and the command line on top of it.

from mlhub.client import Client

with Client() as hub:
    digit = hub.predict("digits", rows)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlhub.client.client import Client
    from mlhub.client.errors import HubError
    from mlhub.client.job import Job

__all__ = ["Client", "HubError", "Job"]

_HOMES = {"Client": "client", "HubError": "errors", "Job": "job"}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: the command line's help needs none of them."""
    from importlib import import_module  # noqa: PLC0415

    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(import_module(f"mlhub.client.{_HOMES[name]}"), name)
