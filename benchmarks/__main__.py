"""`python -m benchmarks`: measures everything that the documentation's figures come from."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import results
from benchmarks.bench import Bench, Options
from benchmarks.contestants.base import ROOT
from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe
from benchmarks.report import table
from benchmarks.results import Run
from benchmarks.scenarios import SCENARIOS
from benchmarks.workspace import workspace

_RESULTS = ROOT / "benchmarks" / "results"


def main(
    only: Annotated[str, typer.Option(help="Scenarios to measure, separated by commas.")] = "",
    contestants: Annotated[str, typer.Option(help="Contestants to measure, separated by commas.")] = "",
    clients: Annotated[str, typer.Option(help="Numbers of clients.")] = "1,4,16,64,256,1024",
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each measurement.")] = 3,
    seconds: Annotated[int, typer.Option(min=1, help="Length of one measurement.")] = 5,
    json: Annotated[Path, typer.Option(help="Where the raw results go.")] = _RESULTS / "latest.json",
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Less of everything: at most three minutes.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folder with logs and data.")] = False,
) -> None:
    """Measure."""
    # Contestants are ended on the way out, so that a signal leaves nothing behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = Options(
        rounds=1 if quick else rounds,
        seconds=min(seconds, 2) if quick else seconds,
        warm_up=1 if quick else 2,
        clients=tuple(int(count) for count in clients.split(",")),
        quick=quick,
        contestants=tuple(filter(None, contestants.split(","))),
    )
    run = Run(machine=describe({}), rounds=options.rounds, seconds=options.seconds)
    console = Console(stderr=True)
    wanted = set(filter(None, only.split(",")))
    with (
        workspace(keep=keep) as place,
        Progress(
            TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console
        ) as progress,
    ):
        task = progress.add_task("", total=None)

        def tell(what: str, done: float) -> None:
            progress.update(task, advance=done, description=what or None)

        bench = Bench(options, place, run, tell)
        for scenario in SCENARIOS:
            if scenario.name in wanted or (not wanted and (scenario.quick or not quick)):
                try:
                    scenario.measure(bench)
                except BenchmarkError as error:
                    run.skipped[scenario.name] = str(error)
                results.save(run, json)
    for scenario in SCENARIOS:
        if run.of(scenario.name):
            print(f"\n## {scenario.title}\n\n{table.loads(run, scenario.name, 'clients')}")
    for fact in run.facts:
        print(f"{fact.scenario}: {fact.name}: {table.number(fact.value)} {fact.unit}")
    for what, why in run.skipped.items():
        print(f"\nNot measured: {what}: {why}")


if __name__ == "__main__":
    typer.run(main)
