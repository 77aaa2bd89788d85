"""`mlhub api`: the REST API."""

from typing import Annotated, Any

import typer

from mlhub.common.addresses import is_loopback
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
    from mlhub.common import logs, tracing  # noqa: PLC0415
    from mlhub.common.asgi import AsgiServer  # noqa: PLC0415

    given = {"host": host, "port": port, "api_processes": processes}
    settings = load_settings().model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )
    check_exposure(settings)
    tracing.check()
    logs.configure(settings.log_format, settings.log_level)
    server = AsgiServer(
        "mlhub-api",
        lambda: _create(settings),
        host=settings.host,
        port=settings.port,
        processes=settings.api_processes,
    )
    server.run()


def _create(settings: Settings) -> Any:
    # Only the processes that serve need it, not the one that watches them.
    from mlhub.api.app import create_app  # noqa: PLC0415

    return create_app(settings)


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
