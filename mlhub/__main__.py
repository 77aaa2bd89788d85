"""The `mlhub` command: every part of the hub, and the client."""

import json
import sys
from typing import Annotated

import typer

import mlhub
from mlhub.api.command import api
from mlhub.client.commands import app as client_commands
from mlhub.common.errors import MLHubError
from mlhub.common.settings import SettingsError
from mlhub.doctor.command import doctor
from mlhub.local.command import down, up
from mlhub.scaling.command import scaler
from mlhub.servers.command import serve
from mlhub.workers.command import worker
from mlhub.workers.flower import flower

app = typer.Typer(
    name="mlhub",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="One REST API in front of TensorFlow, PyTorch, Keras and scikit-learn model servers.",
    epilog="Begin with 'mlhub up', then 'mlhub models'.",
)


def _show_version(value: bool) -> None:
    if value:
        sys.stdout.write(f"mlhub {mlhub.__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


app.command(rich_help_panel="One machine")(up)
app.command(rich_help_panel="One machine")(down)
app.command(rich_help_panel="Parts of a hub")(api)
app.command(rich_help_panel="Parts of a hub")(worker)
app.command(rich_help_panel="Parts of a hub")(flower)
app.command(rich_help_panel="Parts of a hub")(serve)
app.command(rich_help_panel="Parts of a hub")(scaler)
app.command(rich_help_panel="Parts of a hub")(doctor)
app.add_typer(client_commands)


def main() -> None:
    """Run the command line; errors leave as one sentence, or as JSON where that was asked for.

    The exit code is 2 when a setting is wrong, as it is for a wrong option: trying again does not help.
    """
    try:
        app()
    except MLHubError as error:
        sys.stderr.write(_json(error) if "--json" in sys.argv[1:] else f"mlhub: {error}\n")
        sys.exit(2 if isinstance(error, SettingsError) else 1)


def _json(error: MLHubError) -> str:
    known: dict[str, object] = {"detail": str(error), "code": error.code}
    # What a hub answered has more.
    known |= {name: getattr(error, name, None) for name in ("status", "request_id")}
    return json.dumps({"error": known}) + "\n"


if __name__ == "__main__":
    main()
