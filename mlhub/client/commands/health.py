"""`mlhub status`: how the hub is."""

import typer

from mlhub.client.commands import options
from mlhub.client.commands.terminal import connect, show


def status(url: options.Url = None, token: options.Token = None, as_json: options.Json = False) -> None:
    """Show how the hub and its parts are; the exit code is 1 when it cannot answer predictions."""
    from mlhub.client.commands import tables  # noqa: PLC0415 - `mlhub --help` is quick without

    with connect(url, token) as hub:
        answer = hub.status()
        address = hub.url
    show(answer, tables.status(answer, address), as_json=as_json)
    if not answer.ready:
        raise typer.Exit(1)
