"""The commands of the `mlhub` command line that talk to a hub."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mlhub.client.client import Client

app = typer.Typer()

_Url = Annotated[
    str | None,
    typer.Option("--url", envvar="MLHUB_URL", help="The hub.", show_default="http://127.0.0.1:8181"),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
_Name = Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.")]
_Version = Annotated[str | None, typer.Option("--version", help="Which version; the latest if not given.")]
_PANEL = "A running hub"


@app.command(rich_help_panel=_PANEL)
def status(url: _Url = None, as_json: _Json = False) -> None:
    """Show how the parts of the hub are."""
    from mlhub.client import tables  # noqa: PLC0415 (`mlhub --help` is quick without)

    with _client(url) as hub:
        answer = hub.status()
    _show(answer, tables.status(answer), as_json=as_json)
    if not answer["ready"]:
        raise typer.Exit(1)


@app.command(rich_help_panel=_PANEL)
def models(
    words: Annotated[list[str] | None, typer.Argument(help="Words to look for.")] = None,
    model_type: Annotated[str | None, typer.Option("--type", help="Only this type.")] = None,
    state: Annotated[str | None, typer.Option(help="Only those empty, validating, ready or failed.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.")] = None,
    sort: Annotated[str | None, typer.Option(help="name, -name, updated_at or -updated_at.")] = None,
    url: _Url = None,
    as_json: _Json = False,
) -> None:
    """List models.

    For example: mlhub models digits --type ScikitLearn
    """
    from mlhub.client import tables  # noqa: PLC0415

    query = " ".join(words) if words else None
    with _client(url) as hub:
        found = list(hub.models(q=query, type=model_type, state=state, tag=tag, sort=sort))
    _show(found, tables.models(found) if found else "No models.", as_json=as_json)


@app.command(rich_help_panel=_PANEL)
def show(name: _Name, url: _Url = None, as_json: _Json = False) -> None:
    """Show a model with its versions."""
    from mlhub.client import tables  # noqa: PLC0415

    with _client(url) as hub:
        model = hub.model(name)
    _show(model, tables.model(model), as_json=as_json)


@app.command(rich_help_panel=_PANEL)
def upload(
    name: _Name,
    bundle: Annotated[Path, typer.Argument(help="A tar, tar.gz or zip with the model's files.")],
    model_type: Annotated[
        str | None, typer.Option("--type", help="Create the entry when it is not there, with this type.")
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", help="Name of the version; else the next number.")
    ] = None,
    wait: Annotated[int, typer.Option(min=0, max=300, help="Seconds to wait for validation.")] = 60,
    url: _Url = None,
    as_json: _Json = False,
) -> None:
    """Upload a bundle as a new version of a model, and wait until it is validated.

    For example: mlhub upload digits digits.tar.gz --type ScikitLearn
    """
    from mlhub.client import tables  # noqa: PLC0415
    from mlhub.client.progress import transfer  # noqa: PLC0415

    with _client(url) as hub:
        if model_type is not None:
            _create_missing(hub, name, model_type)
        with transfer(f"uploading {bundle.name}") as progress:
            found = hub.upload(name, bundle, version=version, wait=wait, progress=progress)
    _show(found, tables.versions([found]), as_json=as_json)


@app.command(rich_help_panel=_PANEL)
def download(
    name: _Name,
    target: Annotated[Path, typer.Argument(help="File or folder to write to.")] = Path(),
    version: _Version = None,
    url: _Url = None,
    as_json: _Json = False,
) -> None:
    """Download the bundle of a model, the very bytes that were uploaded."""
    from mlhub.client.progress import transfer  # noqa: PLC0415

    with _client(url) as hub, transfer(f"downloading {name}") as progress:
        path = hub.download(name, target, version=version, progress=progress)
    _show({"path": str(path), "size": path.stat().st_size}, str(path), as_json=as_json)


@app.command(rich_help_panel=_PANEL)
def predict(  # noqa: PLR0913, PLR0917 (each is an option of the command)
    name: _Name,
    rows: Annotated[
        str | None, typer.Argument(help="One row or a list of rows as JSON; - reads them.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Rows in a .npy, .csv or .json file.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write the answer to a .npy or .json file.")] = None,
    version: _Version = None,
    later: Annotated[bool, typer.Option("--async", help="Hand it over, print its id and leave.")] = False,
    wait: Annotated[int, typer.Option(min=1, max=300, help="Seconds to wait for the answer.")] = 30,
    url: _Url = None,
    as_json: _Json = False,
) -> None:
    """Predict with a model.

    For example: mlhub predict iris '[5.1, 3.5, 1.4, 0.2]', or mlhub predict digits --file rows.npy
    """
    from mlhub.client import inputs  # noqa: PLC0415

    if (rows is None) == (file is None):
        raise typer.BadParameter("Give the rows either as an argument or with --file.")
    given = (
        inputs.load(file)
        if file is not None
        else inputs.parse(sys.stdin.read() if rows == "-" else str(rows))
    )
    with _client(url) as hub:
        if later:
            job = hub.submit(name, given, version=version)
            _show({"id": job.id}, job.id, as_json=as_json)
            return
        answer = hub.predict(name, given, version=version, wait=wait)
    if output is not None:
        inputs.save(output, answer)
        return
    plain = (
        {key: value.tolist() for key, value in answer.items()}
        if isinstance(answer, dict)
        else answer.tolist()
    )
    _show({"output": plain}, str(plain), as_json=as_json)


@app.command(rich_help_panel=_PANEL)
def job(
    identity: Annotated[str, typer.Argument(metavar="ID", help="What 'mlhub predict --async' printed.")],
    wait: Annotated[int, typer.Option(min=0, max=300, help="Seconds to wait for its end.")] = 0,
    url: _Url = None,
    as_json: _Json = False,
) -> None:
    """Show an asynchronous prediction."""
    from mlhub.client import tables  # noqa: PLC0415

    with _client(url) as hub:
        try:
            found = hub.job(identity).prediction(wait)
        except TimeoutError:
            found = hub.prediction(identity)
    _show(found, tables.prediction(found), as_json=as_json)


@app.command(rich_help_panel=_PANEL)
def delete(
    name: _Name,
    version: Annotated[str | None, typer.Option("--version", help="Only this version.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: _Url = None,
) -> None:
    """Remove a model with all its versions, or one version."""
    what = f"{name} with all its versions" if version is None else f"version {version} of {name}"
    if not yes:
        typer.confirm(f"Remove {what}?", abort=True)
    with _client(url) as hub:
        if version is None:
            hub.delete(name)
        else:
            hub.delete_version(name, version)


def _client(url: str | None) -> "Client":
    from mlhub.client.client import Client  # noqa: PLC0415

    return Client(url)


def _show(answer: Any, people: "RenderableType", *, as_json: bool) -> None:
    """Print an answer: as JSON for scripts, else in the form for people."""
    import msgspec  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer)).decode() + "\n")
    else:
        Console(highlight=False).print(people)


def _create_missing(hub: "Client", name: str, model_type: str) -> None:
    from mlhub.client.errors import HubError  # noqa: PLC0415

    try:
        hub.create(name, type=model_type)
    except HubError as error:
        if error.code != "model_exists":
            raise
