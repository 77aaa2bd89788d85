"""The page of the documentation with the figures of a run."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from benchmarks.errors import BenchmarkError
from benchmarks.machine import Machine
from benchmarks.report.table import loads, markdown, number, usage
from benchmarks.results import Run
from benchmarks.scenarios import SCENARIOS, digits
from benchmarks.targets import Outcome, outcomes

START: Final = "<!-- figures: from here to the end mark, python -m benchmarks writes -->"
END: Final = "<!-- figures: end -->"

_VERDICTS: Final = {True: "reached", False: "not reached", None: "not measured"}


def insert(page: Path, text: str) -> None:
    """Put text between the marks of a page.

    Raises:
        BenchmarkError: it has none.
    """
    content = page.read_text()
    before, start, rest = content.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise BenchmarkError(f"{page} has no marks: {START} and {END}.")
    page.write_text(f"{before}{START}\n\n{text}\n\n{END}{after}")


def render(run: Run, charts: Mapping[str, Path], folder: Path) -> str:
    """Return what a run found as Markdown; `folder` is that of the page, which charts are linked from."""
    return "\n\n".join(_sections(run, charts, folder))


def _sections(run: Run, charts: Mapping[str, Path], folder: Path) -> Iterator[str]:
    yield _machine(run.machine, run)
    for name, path in charts.items():
        yield f"![{name}]({os.path.relpath(path, folder)})"
    yield "## Targets"
    yield targets(outcomes(run))
    for scenario in SCENARIOS:
        if run.of(scenario.name):
            yield f"## {scenario.title}"
            yield loads(run, scenario.name, scenario.varied)
    busiest = [point for point in run.points(digits.NAME) if point == "256"]
    if busiest:
        yield "## What every part took, 256 clients"
        yield usage(run, digits.NAME, "256")
    if run.facts:
        yield "## Sizes and times"
        yield markdown(("", "", ""), [(fact.name, number(fact.value), fact.unit) for fact in run.facts])
    if run.skipped:
        yield "## Not measured"
        yield "\n".join(f"- {what}: {why}" for what, why in run.skipped.items())
    yield "## Versions"
    yield "\n".join(f"- {who}: {what}" for who, what in run.versions.items())


def targets(found: list[Outcome]) -> str:
    """Return the table of targets."""
    return markdown(("target", "wanted", "measured", ""), [_target(outcome) for outcome in found])


def _target(outcome: Outcome) -> tuple[str, str, str, str]:
    target = outcome.target
    sense = "at most" if target.at_most else "at least"
    unit = "" if target.unit in {"", "%"} else " "
    wanted = f"{sense} {target.wanted:,g}{unit}{target.unit}"
    measured = "" if outcome.measured is None else f"{number(outcome.measured)}{unit}{target.unit}"
    return target.what, wanted, measured, _VERDICTS[outcome.reached]


def _machine(machine: Machine, run: Run) -> str:
    return (
        f"{machine.date}, commit {machine.commit}: {machine.cores} cores of {machine.processor}, "
        f"{machine.memory_gib:g} GiB, {machine.system}, Python {machine.python}; everything, load "
        f"generator included, on this machine, which had {machine.load_before:g} other busy processes in the "
        f"minute before. Medians of {run.rounds} rounds of {run.seconds:g} s."
    )
