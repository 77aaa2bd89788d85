"""`mlhub predict`, `job`, `jobs`: predictions now and later."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlhub.client.commands import options
from mlhub.client.commands.terminal import connect, note, show, show_json, show_line

if TYPE_CHECKING:
    from mlhub.client.client import Client
    from mlhub.client.records import Answer


def predict(  # noqa: PLR0913 - each is an option of the command
    *,
    name: options.Name,
    rows: Annotated[
        str | None,
        typer.Argument(
            help="One row or a list of rows as JSON, inputs by name as a JSON object; - reads them.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "-f",
            exists=True,
            dir_okay=False,
            help="Read the rows from this .npy, .csv, .ndjson or .json file.",
            show_default=False,
        ),
    ] = None,
    output: options.Output = None,
    version: options.Version = None,
    give: Annotated[
        list[str] | None,
        typer.Option(
            help="Output to give instead of the model's default, such as predict_proba; `mlhub show MODEL` "
            "names them. May be given several times.",
            show_default=False,
        ),
    ] = None,
    later: Annotated[
        bool, typer.Option("--async", help="Submit it, print its id and do not wait; see `mlhub job`.")
    ] = False,
    webhook: Annotated[
        str | None,
        typer.Option(help="With --async: address to call when it has ended.", show_default=False),
    ] = None,
    wait: Annotated[
        int | None, typer.Option(min=1, help="Seconds to wait for the answer.", show_default="30")
    ] = None,
    url: options.Url = None,
    token: options.Token = None,
    as_json: options.Json = False,
) -> None:
    """Predict with a model: one line of output for each row."""
    from mlhub.client.commands import bulk, rowfiles  # noqa: PLC0415 - `mlhub --help` is quick without

    if (rows is None) == (file is None):
        raise typer.BadParameter("Give the rows either as an argument or with --file.")
    is_large = bulk.is_large(file)
    _check(output, give, webhook, later=later, is_large=is_large)
    if file is not None and is_large:
        with connect(url, token) as hub:
            job = bulk.submit(hub, name, file, version, give or [], webhook)
            if later:
                bulk.tell(job, as_json=as_json)
            else:
                bulk.finish(job, output, wait)
        return
    with connect(url, token) as hub:
        described = hub.version(name, version or "latest")
        given = rowfiles.parse(rows) if rows is not None else rowfiles.load(file, described.signature)
        if later:
            job = hub.submit(name, given, version, webhook=webhook)
            show({"id": job.id}, job.id, as_json=as_json)
            return
        answer = _ask(hub, name, given, described.version, wait, give or [])
        single = rowfiles.is_single(given, described.signature)
        if output is not None:
            note(f"Wrote {rowfiles.save(output, answer.output)} to {output}.")
        elif as_json:
            show_json(answer)
        else:
            for line in rowfiles.lines(answer.output, answer.labels, single=single):
                show_line(line)


def job(
    *,
    identity: Annotated[
        str, typer.Argument(metavar="ID", help="What `mlhub predict --async` printed.", show_default=False)
    ],
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for its end.")] = 0,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel it.")] = False,
    output: options.Output = None,
    url: options.Url = None,
    token: options.Token = None,
    as_json: options.Json = False,
) -> None:
    """Show a submitted prediction; the exit code is 1 when it failed."""
    from mlhub.client.commands import bulk, rowfiles, tables  # noqa: PLC0415
    from mlhub.client.job import succeeded  # noqa: PLC0415

    with connect(url, token) as hub:
        if output is not None and hub.prediction(identity).progress is not None and not cancel:
            bulk.check_target(output)
            bulk.finish(hub.job(identity), output, wait)
            return
        rowfiles.check_output(output)
        found = hub.cancel(identity) if cancel else hub.job(identity).look(wait)
        if output is not None:
            note(f"Wrote {rowfiles.save(output, succeeded(found).output)} to {output}.")
            return
    show(found, tables.prediction(found), as_json=as_json)
    if found.status == "failed":
        raise typer.Exit(1)


def jobs(
    *,
    model: Annotated[str | None, typer.Option(help="Only those of this model.", show_default=False)] = None,
    status: Annotated[
        str | None,
        typer.Option(help="starting, processing, succeeded, failed or canceled.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    url: options.Url = None,
    token: options.Token = None,
    as_json: options.Json = False,
) -> None:
    """List submitted predictions, newest first."""
    from mlhub.client.commands import tables  # noqa: PLC0415

    with connect(url, token) as hub:
        found = list(hub.predictions(model, status, limit))
    show(found, tables.predictions(found) if found else "No predictions.", as_json=as_json)


def _check(
    output: Path | None, give: list[str] | None, webhook: str | None, *, later: bool, is_large: bool
) -> None:
    """Refuse options that mean nothing together, before anything is done."""
    from mlhub.client.commands import bulk, rowfiles  # noqa: PLC0415

    if later and output is not None:
        raise typer.BadParameter("--async takes no --output; `mlhub job ID --output` writes.")
    if later and give and not is_large:
        raise typer.BadParameter("--async takes --give only with a large file.")
    if webhook is not None and not later:
        raise typer.BadParameter("--webhook goes with --async.")
    if is_large:
        bulk.check_target(output, give or [])
    else:
        rowfiles.check_output(output)


def _ask(hub: "Client", name: str, given: Any, version: str, wait: int | None, give: list[str]) -> "Answer":
    """Predict; what came in by name goes out by name."""
    from mlhub.client import arrays  # noqa: PLC0415
    from mlhub.client.records import Answer  # noqa: PLC0415
    from mlhub.common.tensor import to_list  # noqa: PLC0415

    if not arrays.are_inputs(given):
        return hub.ask(name, given, version, wait, outputs=give)
    outputs = hub.infer(name, given, version, wait, outputs=give)
    values = {key: to_list(array) for key, array in outputs.items()}
    return Answer(name, version, values if len(give) != 1 else values[give[0]])
