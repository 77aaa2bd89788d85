"""Options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="MLHUB_URL", help="The hub.", show_default="http://127.0.0.1:8181"),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="MLHUB_TOKEN",
        show_default=False,
        help="The hub's token. Give it by the variable: others can see the options of a command.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Name = Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.", show_default=False)]
Version = Annotated[
    str | None, typer.Option("--version", help="Which version; the latest unless given.", show_default=False)
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Write the output to this .npy, .json or .csv file.", show_default=False
    ),
]
