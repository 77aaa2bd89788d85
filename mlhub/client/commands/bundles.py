"""`mlhub upload` and `mlhub download`: bundles in and out."""

import sys
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlhub.client.commands import options
from mlhub.client.commands.terminal import connect, note, show

if TYPE_CHECKING:
    from mlhub.client.client import Client

_File = Annotated[
    Path,
    typer.Argument(
        metavar="BUNDLE",
        help="A tar, tar.gz or zip with the model's files; - reads it from standard input.",
        show_default=False,
    ),
]


def upload(
    *,
    name: options.Name,
    file: _File,
    type_: Annotated[
        str | None,
        typer.Option("--type", help="Create the entry when it is missing, of this type.", show_default=False),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option("--version", help="Name of the version; else the next number.", show_default=False),
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait until it is validated; 0 does not wait.")
    ] = 60,
    url: options.Url = None,
    token: options.Token = None,
    as_json: options.Json = False,
) -> None:
    """Upload a bundle as a new version, and wait until the hub has found it good."""
    from mlhub.client.bundle import check_archive  # noqa: PLC0415 - `mlhub --help` is quick without
    from mlhub.client.commands import tables  # noqa: PLC0415
    from mlhub.client.commands.progress import transfer  # noqa: PLC0415

    is_pipe = str(file) == "-"
    with connect(url, token) as hub, sys.stdin.buffer if is_pipe else file.open("rb") as opened:
        if type_ is not None:
            # A file that is none must not leave an empty entry behind.
            check_archive(opened)
            _create_missing(hub, name, type_)
        else:
            _require(hub, name)
        with transfer("Uploading", "validating") as progress:
            uploaded = hub.upload(name, opened, version, wait=wait, progress=progress)
    show(uploaded, tables.uploaded(name, uploaded), as_json=as_json)


def download(
    *,
    name: options.Name,
    target: Annotated[Path, typer.Argument(help="File to write, or folder to put it in.")] = Path(),
    version: options.Version = None,
    url: options.Url = None,
    token: options.Token = None,
    as_json: options.Json = False,
) -> None:
    """Download a bundle, the very bytes that were uploaded, checked against their SHA-256."""
    from mlhub.client.commands import tables  # noqa: PLC0415
    from mlhub.client.commands.progress import transfer  # noqa: PLC0415

    with connect(url, token) as hub:
        with transfer("Downloading") as progress:
            path = hub.download(name, target, version, progress=progress)
        size = path.stat().st_size
    show({"path": str(path), "size": size}, tables.saved(path, size), as_json=as_json)


def export(
    *,
    name: options.Name,
    target: Annotated[Path, typer.Argument(help="File to write, or folder to put it in.")] = Path(),
    url: options.Url = None,
    token: options.Token = None,
    as_json: options.Json = False,
) -> None:
    """Write a model with all its versions to one file, for another hub."""
    from mlhub.client.commands import tables  # noqa: PLC0415
    from mlhub.client.commands.progress import transfer  # noqa: PLC0415

    with connect(url, token) as hub:
        with transfer("Exporting") as progress:
            path = hub.export(name, target, progress=progress)
        size = path.stat().st_size
    show({"path": str(path), "size": size}, tables.saved(path, size), as_json=as_json)


def import_(
    *,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="What 'mlhub export' wrote; - reads standard input.", show_default=False
        ),
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the model here; else its own.", show_default=False)
    ] = None,
    url: options.Url = None,
    token: options.Token = None,
    as_json: options.Json = False,
) -> None:
    """Take in a model that was exported, from this hub or another, with all its versions."""
    from mlhub.client.commands import tables  # noqa: PLC0415
    from mlhub.client.commands.progress import transfer  # noqa: PLC0415

    is_pipe = str(file) == "-"
    with connect(url, token) as hub, sys.stdin.buffer if is_pipe else file.open("rb") as opened:
        with transfer("Importing") as progress:
            entry = hub.take_in(opened, name, progress=progress)
        show(entry, tables.model(entry), as_json=as_json)


def _require(hub: "Client", name: str) -> None:
    from mlhub.client.errors import HubError  # noqa: PLC0415

    try:
        hub.model(name)
    except HubError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        raise HubError(
            f"{error.detail} Say --type ScikitLearn, or another type, to create it with this upload.",
            status=error.status,
            code=error.code,
        ) from error


def _create_missing(hub: "Client", name: str, type_: str) -> None:
    from mlhub.client.errors import HubError  # noqa: PLC0415

    try:
        hub.create(name, type_)
    except HubError as error:
        if error.status != HTTPStatus.CONFLICT:
            raise
    else:
        note(f"Created the entry {name}.")
