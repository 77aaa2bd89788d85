"""`mlhub scale`: more or fewer processes for a backend."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mlhub.client.commands import options
from mlhub.client.commands.terminal import connect, note, show

if TYPE_CHECKING:
    from mlhub.client.client import Client
    from mlhub.client.records import Pools

_SIZE: Final = re.compile(r"(predict|jobs|servers)=([0-9]{1,4})")
_PAUSE: Final = 0.3
"""Seconds between two looks at the pools."""


def scale(
    *,
    backend: Annotated[
        str, typer.Argument(metavar="BACKEND", help="Name of the backend.", show_default=False)
    ],
    sizes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[POOL=N]...",
            help="Processes that predict, jobs or servers are to have; without any, nothing changes.",
            show_default=False,
        ),
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait until there are as many as there should be.")
    ] = 60,
    url: options.Url = None,
    token: options.Token = None,
    as_json: options.Json = False,
) -> None:
    """Start or end processes of a backend, while it works.

    Processes that are too many finish what they hold. The exit code is 1 when the pools do not have their
    sizes in time.
    """
    from mlhub.client.commands import tables  # noqa: PLC0415 - `mlhub --help` is quick without

    wanted = _parse(sizes or [])
    with connect(url, token) as hub:
        if not wanted:
            pools = hub.pools(backend)
            people = tables.pools(pools) if pools.by_kind else "The hub runs no processes of this backend."
            show(pools, people, as_json=as_json)
            return
        pools = _settle(hub, hub.scale(backend, **wanted), wait)
    show(pools, tables.pools(pools), as_json=as_json)
    if wait and not pools.settled:
        note(f"Not all are there after {wait:g} seconds: {_line(pools)}.")
        raise typer.Exit(1)


def _parse(sizes: list[str]) -> dict[str, int]:
    wanted = {}
    for text in sizes:
        found = _SIZE.fullmatch(text)
        if found is None:
            raise typer.BadParameter(f"{text!r} is no size of a pool; it looks like predict=4.")
        wanted[found[1]] = int(found[2])
    return wanted


def _settle(hub: "Client", pools: "Pools", wait: float) -> "Pools":
    """Wait until the pools have their sizes, for `wait` seconds at most; show how far it is."""
    deadline = time.monotonic() + wait
    with _shown() as tell:
        while not pools.settled and time.monotonic() < deadline:
            tell(_line(pools))
            time.sleep(_PAUSE)
            pools = hub.pools(pools.backend)
    return pools


def _line(pools: "Pools") -> str:
    """Say how far each pool is that is not there yet."""
    open_ = {kind: pool for kind, pool in pools.by_kind.items() if pool.actual != pool.desired}
    return ", ".join(f"{kind} {pool.actual}, to be {pool.desired}" for kind, pool in open_.items())


@contextmanager
def _shown() -> Iterator[Callable[[str], None]]:
    """Show a line that changes on standard error; nothing when nobody looks."""
    from rich.console import Console  # noqa: PLC0415

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _text: None
        return
    with console.status("scaling") as status:
        yield lambda text: status.update(status=text)
