"""`mlhub status`, `backends`, `queues`, `workers`: how the hub is, once or as it goes on."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from mlhub.client.commands import options
from mlhub.client.commands.terminal import connect, note, show, show_line
from mlhub.common.words import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mlhub.client.client import Client

T = TypeVar("T")

_PAUSE: Final = 2.0
"""Seconds between two looks."""

_Watch = Annotated[bool, typer.Option("--watch", "-w", help="Look again every two seconds, until Ctrl-C.")]


def status(
    *,
    watch: _Watch = False,
    url: options.Url = None,
    token: options.Token = None,
    as_json: options.Json = False,
) -> None:
    """Show how the hub and its parts are; the exit code is 1 when it cannot answer predictions."""
    from mlhub.client.commands import tables  # noqa: PLC0415 - `mlhub --help` is quick without

    with connect(url, token) as hub:
        answer = _show(hub.status, lambda found: tables.status(found, hub.url), watch=watch, as_json=as_json)
    if not answer.ready:
        raise typer.Exit(1)


def backends(
    *,
    watch: _Watch = False,
    url: options.Url = None,
    token: options.Token = None,
    as_json: options.Json = False,
) -> None:
    """List the backends with their workers and what waits for them."""
    from mlhub.client.commands import opstables  # noqa: PLC0415

    with connect(url, token) as hub:
        _show(hub.backends, opstables.backends, watch=watch, as_json=as_json)


def queues(
    *,
    purge: Annotated[
        str | None,
        typer.Option(
            metavar="QUEUE",
            help="Empty this queue: predictions that wait in it are canceled.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before emptying.")] = False,
    watch: _Watch = False,
    url: options.Url = None,
    token: options.Token = None,
    as_json: options.Json = False,
) -> None:
    """List the queues with what waits in them, also those nobody listens to."""
    from mlhub.client.commands import opstables  # noqa: PLC0415

    with connect(url, token) as hub:
        if purge is not None:
            _purge(hub, purge, yes=yes, as_json=as_json)
        else:
            _show(hub.queues, opstables.queues, watch=watch, as_json=as_json)


def workers(
    *,
    watch: _Watch = False,
    url: options.Url = None,
    token: options.Token = None,
    as_json: options.Json = False,
) -> None:
    """List the worker processes that live."""
    from mlhub.client.commands import opstables  # noqa: PLC0415

    with connect(url, token) as hub:
        _show(hub.workers, opstables.workers, watch=watch, as_json=as_json)


def _purge(hub: "Client", queue: str, *, yes: bool, as_json: bool) -> None:
    if not yes:
        typer.confirm(f"Empty {queue}? What waits in it will not be done.", abort=True, err=True)
    done = hub.purge(queue)
    canceled = counted(done.canceled, "prediction is", "predictions are")
    line = f"Took {counted(done.messages, 'message')} from {done.queue}; {canceled} canceled."
    show(done, line, as_json=as_json)


def _show(ask: Callable[[], T], draw: "Callable[[T], RenderableType]", *, watch: bool, as_json: bool) -> T:
    """Print what `ask` returns, with `watch` again and again; return the last of it."""
    answer = ask()
    if not watch:
        show(answer, draw(answer), as_json=as_json)
        return answer
    if as_json:
        return _stream(ask, answer)
    from rich.console import Console  # noqa: PLC0415 - `mlhub --help` is quick without
    from rich.live import Live  # noqa: PLC0415

    try:
        with Live(draw(answer), console=Console(highlight=False), auto_refresh=False) as live:
            while True:
                time.sleep(_PAUSE)
                answer = _again(ask, answer)
                live.update(draw(answer), refresh=True)
    except KeyboardInterrupt:
        return answer


def _stream(ask: Callable[[], T], answer: T) -> T:
    """Print a line of JSON for each look."""
    import msgspec  # noqa: PLC0415 - `mlhub --help` is quick without

    try:
        while True:
            show_line(msgspec.json.encode(answer).decode())
            time.sleep(_PAUSE)
            answer = _again(ask, answer)
    except KeyboardInterrupt:
        return answer


def _again(ask: Callable[[], T], before: Any) -> T:
    """Ask; a hub that is away for a moment does not end watching it."""
    from mlhub.client.errors import HubError  # noqa: PLC0415 - `mlhub --help` is quick without

    try:
        return ask()
    except HubError as error:
        note(f"mlhub: {error}")
        kept: T = before
        return kept
