"""`mlhub models`, `show`, `create`, `update`, `delete`: the entries of a hub."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mlhub.client.commands import options
from mlhub.client.commands.terminal import connect, note
from mlhub.client.commands.terminal import show as print_answer

_Description = Annotated[str | None, typer.Option(help="What the model does.", show_default=False)]
_Reference = Annotated[
    str | None, typer.Option(help="Where it is published: a DOI, an address.", show_default=False)
]
_Discipline = Annotated[str | None, typer.Option(help="Field of research.", show_default=False)]
_Tags = Annotated[
    list[str] | None, typer.Option("--tag", help="A tag; may be given several times.", show_default=False)
]
_Meta = Annotated[
    str | None,
    typer.Option(help="Anything to keep with it: a JSON object, or @file with one.", show_default=False),
]


def models(  # noqa: PLR0913 - each is an option of the command
    *,
    words: Annotated[
        list[str] | None,
        typer.Argument(help="Words in name, description, tags or discipline.", show_default=False),
    ] = None,
    type_: Annotated[
        str | None,
        typer.Option("--type", help="TensorFlow, PyTorch, Keras or ScikitLearn.", show_default=False),
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="empty, validating, ready or failed.", show_default=False)
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.", show_default=False)] = None,
    discipline: Annotated[
        str | None, typer.Option(help="Only those of this field.", show_default=False)
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Only those of this owner.", show_default=False)] = None,
    sort: Annotated[
        str | None,
        typer.Option(help="name, or -updated_at for the latest change first.", show_default="name"),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="How many at most; all unless given.", show_default=False)
    ] = None,
    url: options.Url = None,
    token: options.Token = None,
    as_json: options.Json = False,
) -> None:
    """List the models of a hub."""
    from mlhub.client.commands import tables  # noqa: PLC0415 - `mlhub --help` is quick without

    with connect(url, token) as hub:
        found = list(
            hub.models(
                q=" ".join(words) if words else None,
                type=type_,
                state=state,
                tag=tag,
                discipline=discipline,
                owner=owner,
                sort=sort,
                limit=limit,
            )
        )
    print_answer(found, tables.models(found) if found else "No models.", as_json=as_json)


def show(
    *,
    name: options.Name,
    version: Annotated[
        str | None, typer.Option("--version", help="Show this version alone.", show_default=False)
    ] = None,
    url: options.Url = None,
    token: options.Token = None,
    as_json: options.Json = False,
) -> None:
    """Show a model with its versions, or one version of it."""
    from mlhub.client.commands import tables  # noqa: PLC0415

    with connect(url, token) as hub:
        if version is None:
            model = hub.model(name)
            print_answer(model, tables.model(model), as_json=as_json)
        else:
            one = hub.version(name, version)
            print_answer(one, tables.version(one), as_json=as_json)


def create(  # noqa: PLR0913 - each is an option of the command
    *,
    name: options.Name,
    type_: Annotated[
        str, typer.Option("--type", help="TensorFlow, PyTorch, Keras or ScikitLearn.", show_default=False)
    ],
    description: _Description = None,
    reference: _Reference = None,
    discipline: _Discipline = None,
    tags: _Tags = None,
    meta: _Meta = None,
    url: options.Url = None,
    token: options.Token = None,
    as_json: options.Json = False,
) -> None:
    """Create the entry of a model; its bundle comes with `mlhub upload`."""
    from mlhub.client.commands import tables  # noqa: PLC0415

    with connect(url, token) as hub:
        model = hub.create(name, type_, **_fields(description, reference, discipline, tags, meta))
    print_answer(model, tables.model(model), as_json=as_json)


def update(  # noqa: PLR0913 - each is an option of the command
    *,
    name: options.Name,
    description: _Description = None,
    reference: _Reference = None,
    discipline: _Discipline = None,
    tags: _Tags = None,
    meta: _Meta = None,
    latest: Annotated[
        str | None,
        typer.Option(
            help="Version to serve as the latest; 'latest' makes it the newest again.", show_default=False
        ),
    ] = None,
    url: options.Url = None,
    token: options.Token = None,
    as_json: options.Json = False,
) -> None:
    """Change the fields of an entry that are given; the others stay."""
    from mlhub.client.commands import tables  # noqa: PLC0415

    with connect(url, token) as hub:
        fields = _fields(description, reference, discipline, tags, meta)
        if latest is not None:
            fields["version"] = latest
        if not fields:
            raise typer.BadParameter("Give at least one field to change, for example --description.")
        model = hub.update(name, **fields)
    print_answer(model, tables.model(model), as_json=as_json)


def delete(
    *,
    name: options.Name,
    version: Annotated[
        str | None, typer.Option("--version", help="Delete only this version.", show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: options.Url = None,
    token: options.Token = None,
) -> None:
    """Delete a model with all its versions, or one version."""
    what = f"{name} with all its versions" if version is None else f"version {version} of {name}"
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter("Nobody can be asked here; say --yes to delete without a question.")
        typer.confirm(f"Delete {what}?", abort=True, err=True)
    with connect(url, token) as hub:
        if version is None:
            hub.delete(name)
        else:
            hub.delete_version(name, version)
    note(f"Deleted {what}.")


def _fields(
    description: str | None,
    reference: str | None,
    discipline: str | None,
    tags: list[str] | None,
    meta: str | None,
) -> dict[str, Any]:
    given = {
        "description": description,
        "reference": reference,
        "discipline": discipline,
        "tags": tags or None,
        "meta": None if meta is None else _object(meta),
    }
    return {name: value for name, value in given.items() if value is not None}


def _object(text: str) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415

    content = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"--meta takes a JSON object: {error}.") from error
