"""Predictions of large files on the command line: sent, followed and saved, with a bar for each step."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from mlhub.client.commands.terminal import note, show, show_line

if TYPE_CHECKING:
    from mlhub.client.bundle import Progress
    from mlhub.client.client import Client
    from mlhub.client.job import Job

_LARGE: Final = 1024 * 1024
"""Bytes from which on a file is worth a prediction of its own kind."""
_NPY: Final = ".npy"
_CSV: Final = ".csv"


def is_large(path: Path | None) -> bool:
    """Tell whether a file's rows are sent as the file that it is, rather than as rows in a call."""
    from mlhub.client.bulk import form_of  # noqa: PLC0415 - `mlhub --help` is quick without

    if path is None or form_of(path) is None:
        return False
    return path.suffix.lower() not in {_NPY, _CSV} or path.stat().st_size > _LARGE


def check_target(path: Path | None, give: Sequence[str] = ()) -> None:
    """Refuse an output file of a form that a large output does not come in, and several outputs.

    Raises:
        typer.BadParameter: it is.
    """
    from mlhub.client.bulk import form_of  # noqa: PLC0415

    if path is not None and form_of(path) is None:
        raise typer.BadParameter("--output of a large file takes one that ends in .npy, .csv or .ndjson.")
    if len(give) > 1:
        raise typer.BadParameter("A large file gives one output: --give it once.")


def submit(
    hub: "Client", name: str, file: Path, version: str | None, give: Sequence[str], webhook: str | None
) -> "Job":
    """Send a file."""
    from mlhub.client.commands.progress import transfer  # noqa: PLC0415

    with transfer("Sending") as progress:
        output = next(iter(give), None)
        return hub.submit_file(name, file, version, output=output, webhook=webhook, progress=progress)


def finish(job: "Job", output: Path | None, timeout: float | None) -> None:
    """Follow a prediction to its end, and write or print what comes out.

    Raises:
        HubError: it failed, or has not ended in time.
    """
    from mlhub.client.commands.progress import transfer  # noqa: PLC0415
    from mlhub.client.job import succeeded  # noqa: PLC0415

    where = "FILE" if output is None else output
    try:
        with _rows() as progress:
            record = succeeded(job.follow(progress, timeout))
    except KeyboardInterrupt:
        note(f"It goes on without you; later: mlhub job {job.id} --output {where} --wait 600")
        raise typer.Exit(130) from None
    if output is None:
        for line in job.lines():
            show_line(line)
        return
    with transfer("Saving") as progress:
        job.save(output, progress=progress)
    rows = 0 if record.progress is None else record.progress.total
    note(f"Wrote the outputs of {rows:,} rows to {output}.")


def _rows() -> "AbstractContextManager[Progress | None]":
    from mlhub.client.commands.progress import rows  # noqa: PLC0415

    return rows("Predicting")


def tell(job: "Job", *, as_json: bool) -> None:
    """Print under which id a prediction is found again."""
    show({"id": job.id}, job.id, as_json=as_json)
