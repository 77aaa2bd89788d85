"""The commands of `mlhub` that talk to a running hub, wherever it is."""

from collections.abc import Callable
from typing import Any, Final

import typer

from mlhub.client.commands import dead
from mlhub.client.commands.bundles import download, export, import_, upload
from mlhub.client.commands.entries import create, delete, models, show, update
from mlhub.client.commands.operations import backends, queues, status, workers
from mlhub.client.commands.pools import scale
from mlhub.client.commands.predictions import job, jobs, predict

app = typer.Typer(no_args_is_help=True)

_PANEL: Final = "A running hub"


def _add(command: Callable[..., Any], *examples: str) -> None:
    # Paragraphs of their own, so that each example keeps its line.
    epilog = "\n\n".join(("Examples:", *examples))
    app.command(command.__name__.rstrip("_"), rich_help_panel=_PANEL, epilog=epilog, no_args_is_help=False)(
        command
    )


_add(status, "mlhub status", "mlhub status --url http://hub.example:8181 --json", "mlhub status --watch")
_add(backends, "mlhub backends", "mlhub backends --json")
_add(queues, "mlhub queues --watch", "mlhub queues --purge mlhub.sklearn.jobs")
_add(workers, "mlhub workers", "mlhub workers --watch")
_add(models, "mlhub models", "mlhub models handwritten digits --type ScikitLearn --state ready")
_add(show, "mlhub show digits", "mlhub show digits --version 2 --json")
_add(
    create,
    "mlhub create iris --type ScikitLearn --description 'Irises by their measures' --tag flowers",
    "mlhub create iris --type ScikitLearn --meta @iris.json",
)
_add(update, "mlhub update iris --description 'Three kinds of iris'", "mlhub update iris --latest 2")
_add(
    upload,
    "mlhub upload digits digits.tar.gz",
    "mlhub upload digits digits.tar.gz --type ScikitLearn   (creates the entry when it is missing)",
    "tar cz model.skops | mlhub upload digits - --version 2024-05",
)
_add(download, "mlhub download digits", "mlhub download digits old.tar.gz --version 1")
_add(export, "mlhub export digits", "mlhub export digits /tmp/digits.mlhub.tar")
_add(import_, "mlhub import digits.mlhub.tar", "mlhub import digits.mlhub.tar --name their-digits")
_add(
    predict,
    "mlhub predict iris '[5.1, 3.5, 1.4, 0.2]'",
    "mlhub predict iris '[5.1, 3.5, 1.4, 0.2]' --give predict_proba",
    "mlhub predict iris --file rows.csv --output kinds.json",
    "mlhub predict digits --file rows.npy --output digits.npy",
    "cat rows.json | mlhub predict iris -",
    "mlhub predict iris --file rows.csv --async   (then: mlhub job ID --wait 60)",
)
_add(job, "mlhub job 01a2b3", "mlhub job 01a2b3 --wait 60 --output kinds.json", "mlhub job 01a2b3 --cancel")
_add(jobs, "mlhub jobs --model iris --status failed")
_add(
    scale,
    "mlhub scale sklearn   (shows the pools)",
    "mlhub scale sklearn predict=4 servers=2",
    "mlhub scale sklearn jobs=1 --wait 0 --json",
)
_add(delete, "mlhub delete iris", "mlhub delete iris --version 1 --yes")
app.add_typer(dead.app, name="dead", rich_help_panel=_PANEL)
