"""The model servers of each backend, one by one."""

from collections.abc import Iterator
from typing import Final

from mlhub.common.backend import BackendSettings
from mlhub.common.errors import BackendUnreachableError, MLHubError
from mlhub.common.settings import Settings
from mlhub.common.words import counted
from mlhub.doctor.finding import Finding, bad, good
from mlhub.workers.adapters import create_adapter

_NOT_OURS: Final = "not_ours"
"""Code of the error of adapters whose servers get their models from somebody else."""


def look_at_backends(settings: Settings) -> Iterator[Finding]:
    """Ask each server for its health, and for what it has."""
    for name, backend in settings.backends.items():
        for address in backend.addresses:
            yield _server(f"backend {name}", address, backend)


def _server(what: str, address: str, backend: BackendSettings) -> Finding:
    try:
        adapter = create_adapter(backend.model_copy(update={"addresses": (address,)}))
        adapter.probe()
        count = len(adapter.deployments())
    except BackendUnreachableError:
        return bad(what, f"Nothing answers at {address}.", "Start its model server, or correct 'addresses'.")
    except MLHubError as error:
        if error.code == _NOT_OURS:
            return good(what, f"{address} is well; its models are not the hub's to deploy.")
        return bad(
            what,
            f"{address}: {error.detail}",
            f"Have a server there that speaks {backend.protocol!r}, or correct the backend's settings.",
        )
    return good(what, f"{address} is well, and has {counted(count, 'version')} of models.")
