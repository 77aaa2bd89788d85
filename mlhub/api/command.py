"""`mlhub api`: the REST API."""

import ipaddress
from typing import Annotated

import typer

from mlhub.common.settings import Settings, SettingsError, load_settings


def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default MLHUB_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; default MLHUB_PORT.")] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes; default MLHUB_API_PROCESSES.")
    ] = None,
) -> None:
    """Run the REST API; settings come from MLHUB_* variables."""
    # The application takes its time to import; `mlhub --help` should not wait for it.
    from mlhub.api.server import Server  # noqa: PLC0415
    from mlhub.common import logs  # noqa: PLC0415

    given = {"host": host, "port": port, "api_processes": processes}
    settings = load_settings().model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )
    check_exposure(settings)
    logs.configure(settings.log_format, settings.log_level)
    Server(settings).run()


def check_exposure(settings: Settings) -> None:
    """Refuse to listen beyond this machine without a token.

    Raises:
        SettingsError: the host is not a loopback address and there is no token.
    """
    if settings.token or is_loopback(settings.host):
        return
    raise SettingsError(
        f"Listening on {settings.host} lets others in: set MLHUB_TOKEN to a secret of your choice first."
    )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
