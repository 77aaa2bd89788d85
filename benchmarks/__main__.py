"""`python -m benchmarks`: measures everything that the documentation's figures come from."""

import signal
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import results
from benchmarks.bench import Bench, Options
from benchmarks.contestants.base import ROOT
from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe, output
from benchmarks.report import chart, page
from benchmarks.results import Run
from benchmarks.scenarios import SCENARIOS
from benchmarks.workspace import workspace

_RESULTS: Final = ROOT / "benchmarks" / "results"
_DOCS: Final = ROOT / "docs"
_LONGEST: Final = 2
"""Seconds of a measurement in a quick run."""
_EPILOG: Final = "\n\n".join(
    (
        "Scenarios: " + ", ".join(scenario.name for scenario in SCENARIOS) + ".",
        "Examples:",
        "python -m benchmarks --quick",
        "python -m benchmarks --only digits --contestants hub,own,http --clients 64,256 --rounds 5",
        "python -m benchmarks --only steady --steady 3600",
        "python -m benchmarks --read benchmarks/results/latest.json --publish",
    )
)

app = typer.Typer(add_completion=False)


@app.command(epilog=_EPILOG)
def main(  # noqa: PLR0913 (its options)
    only: Annotated[str, typer.Option(help="Scenarios to measure, separated by commas.")] = "",
    contestants: Annotated[
        str,
        typer.Option(
            help="Contestants of the comparison to measure: hub, hub-mlserver, own, mlserver, kserve, "
            "kserve-2, litserve, litserve-batching, bentoml, http."
        ),
    ] = "",
    clients: Annotated[
        str, typer.Option(help="Numbers of clients in the comparison.")
    ] = "1,4,16,64,256,1024",
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each measurement.")] = 3,
    seconds: Annotated[int, typer.Option(min=1, help="Length of one measurement.")] = 5,
    steady: Annotated[int, typer.Option(min=10, help="Seconds of steady load; an hour is 3600.")] = 300,
    json: Annotated[
        Path,
        typer.Option(
            help="File for the raw results; charts go beside it.",
            show_default="benchmarks/results/latest.json",
        ),
    ] = _RESULTS / "latest.json",
    read: Annotated[
        Path | None, typer.Option(help="Show the results in this file instead of measuring.")
    ] = None,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Less of everything: at most three minutes.")
    ] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="Write tables and charts into docs/figures.md too.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folder with logs and data.")] = False,
) -> None:
    """Measure the hub beside other model servers, on this machine, in one run.

    Contestants take turns and run alone in them: each is started, asked once for a right answer, warmed up,
    put under load from wrk and stopped. Each round has them in another order.

    What is not installed is left out, and the report says so. Everything ends with the run; the report goes
    to the standard output.
    """
    options = Options(
        rounds=1 if quick else rounds,
        seconds=min(seconds, _LONGEST) if quick else seconds,
        warm_up=1 if quick else 2,
        clients=tuple(int(count) for count in clients.split(",")),
        quick=quick,
        contestants=tuple(filter(None, contestants.split(","))),
        steady=steady,
    )
    wanted = set(filter(None, only.split(",")))
    unknown = wanted - {scenario.name for scenario in SCENARIOS}
    if unknown:
        raise typer.BadParameter(f"There is no scenario {', '.join(sorted(unknown))}.")
    try:
        run = results.read(read) if read else _measure(options, wanted, json, keep=keep)
        folder = _DOCS if publish else json.parent
        charts = chart.draw(run, folder / "figures")
        text = page.render(run, charts, folder)
        if publish:
            page.insert(_DOCS / "figures.md", text)
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from error
    print(text)


def _measure(options: Options, wanted: set[str], file: Path, *, keep: bool) -> Run:
    # Contestants are ended on the way out, so that a signal leaves nothing behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    run = Run(machine=describe(), rounds=options.rounds, seconds=options.seconds)
    run.versions["load"] = " ".join(output("wrk", "-v").split()[:2])
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with (
        workspace(keep=keep) as place,
        Progress(*columns, console=Console(stderr=True)) as progress,
    ):
        if keep:
            progress.console.print(f"logs are in {place.root}")
        chosen = [
            scenario
            for scenario in SCENARIOS
            if scenario.name in wanted or (not wanted and (scenario.quick or not options.quick))
        ]
        task = progress.add_task("", total=len(chosen))
        bench = Bench(
            options,
            place,
            run,
            lambda what: progress.update(task, description=what),
            lambda: results.save(run, file),
        )
        for scenario in chosen:
            try:
                scenario.measure(bench)
            except BenchmarkError as error:
                run.skipped[scenario.name] = str(error)
            progress.advance(task)
            results.save(run, file)
    return run


if __name__ == "__main__":
    app()
