"""Markdown tables of a run."""

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.results import Run, Summary


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; all columns but the first are numbers."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def loads(run: Run, scenario: str, varied: str) -> str:
    """Return a table of everything measured under load: a line a contestant and point."""
    head = (
        varied,
        "",
        "requests/s",
        "slowest to fastest round",
        "p50 ms",
        "p99 ms",
        "errors",
        "cores busy",
        "MiB",
    )
    return markdown(head, _lines(run, scenario))


def _lines(run: Run, scenario: str) -> Iterator[Sequence[str]]:
    for point in run.points(scenario):
        for contestant in run.contestants(scenario):
            summary = run.summary(scenario, contestant, point)
            if summary is not None:
                yield (point, contestant, *_figures(summary))


def _figures(summary: Summary) -> Iterator[str]:
    yield number(summary.rate)
    yield f"{number(summary.slowest)} to {number(summary.fastest)}"
    yield number(summary.p50)
    yield number(summary.p99)
    yield str(summary.errors)
    yield f"{sum(usage.cpu for usage in summary.usage):.2f}"
    yield f"{sum(usage.memory for usage in summary.usage):,.0f}"


def usage(run: Run, scenario: str, point: str) -> str:
    """Return a table of what each part of each contestant took at one point."""
    rows = []
    for contestant in run.contestants(scenario):
        summary = run.summary(scenario, contestant, point)
        if summary is not None:
            rows += [
                (contestant, part.part, f"{part.cpu:.2f}", f"{part.memory:,.0f}") for part in summary.usage
            ]
    return markdown(("", "part", "cores busy", "MiB"), rows)


def number(value: float) -> str:
    """Return a number with as many digits as say something."""
    if value >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004
