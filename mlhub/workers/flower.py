"""`mlhub flower`: Flower, Celery's own monitor, for whoever is used to it."""

import importlib.util
import os
from typing import Annotated
from urllib.parse import quote, urlsplit

import typer

from mlhub.common.settings import Settings, SettingsError, load_settings


def flower(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on, on loopback only.")] = 5555,
) -> None:
    """Run Flower, Celery's own monitor; the hub's is the page /monitor of its API."""
    # Celery takes its time to import; `mlhub --help` should not wait for it.
    from mlhub.common import logs, topology  # noqa: PLC0415

    check_flower()
    settings = load_settings()
    logs.configure(settings.log_format, settings.log_level)
    address = broker_api(settings)
    if address is not None:
        # Not as an argument: it holds a password, and others can see the arguments of a process.
        os.environ.setdefault("FLOWER_BROKER_API", address)
    app = topology.celery_app(settings.broker_url)
    raise typer.Exit(app.start(["--quiet", "flower", "--address=127.0.0.1", f"--port={port}"]) or 0)


def check_flower() -> None:
    """Find out whether Flower is installed.

    Raises:
        SettingsError: it is not.
    """
    if importlib.util.find_spec("flower") is None:
        raise SettingsError("Flower is not installed; install it: pip install 'mlhub[flower]'.")


def broker_api(settings: Settings) -> str | None:
    """Return the address of RabbitMQ's management API as Flower takes it: with name and password."""
    if settings.management_url is None:
        return None
    parts = urlsplit(settings.management_url)
    broker = urlsplit(settings.broker_url)
    user = parts.username or broker.username or "guest"
    password = parts.password if parts.username else broker.password or "guest"
    host = parts.netloc.rpartition("@")[2]
    login = f"{quote(user, safe='%')}:{quote(password or '', safe='%')}"
    return f"{parts.scheme}://{login}@{host}{parts.path.rstrip('/')}/api/"
