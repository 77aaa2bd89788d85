"""Charts of a run, as PNG files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.contestants import titles
from benchmarks.errors import BenchmarkError
from benchmarks.results import Run, Summary
from benchmarks.scenarios import digits, steady

_SIZE: Final = (9.0, 5.0)
_DPI: Final = 110
_COLOURS: Final = {
    titles.HUB: "#d62728",
    titles.HUB_MLSERVER: "#ff7f0e",
    titles.OWN: "#8c564b",
    titles.MLSERVER: "#1f77b4",
    titles.KSERVE: "#2ca02c",
    titles.KSERVE_2: "#98df8a",
    titles.LITSERVE: "#9467bd",
    titles.LITSERVE_BATCHING: "#c5b0d5",
    titles.BENTOML: "#17becf",
    titles.HTTP: "#7f7f7f",
}
"""The same for a contestant in every chart; what goes through the hub is warm."""
_MIB_COLOUR: Final = "#1f77b4"


def draw(run: Run, folder: Path) -> dict[str, Path]:
    """Draw what was measured; return the files by the name of what they show.

    Raises:
        BenchmarkError: the library that draws is not installed.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 (an extra; measuring works without it)
        from matplotlib import pyplot as plt  # noqa: PLC0415
    except ImportError as error:
        raise BenchmarkError("Charts need matplotlib: pip install 'mlhub[bench]'.") from error
    mpl.use("agg")
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}

    def keep(name: str, plot: Callable[[Any, Any], None]) -> None:
        figure, axes = plt.subplots(figsize=_SIZE, dpi=_DPI, layout="constrained")
        plot(figure, axes)
        files[name] = folder / f"{name}.png"
        figure.savefig(files[name], metadata={"Software": None})
        plt.close(figure)

    if run.of(digits.NAME):
        keep("throughput", lambda _figure, axes: _throughput(run, axes))
        keep("latency", lambda _figure, axes: _latency(run, axes))
    if run.of(steady.NAME):
        keep("steady", lambda _figure, axes: _steady(run, axes))
    return files


def _throughput(run: Run, axes: Any) -> None:
    """Requests a second over the number of clients; bars from the slowest round to the fastest."""
    _lines(run, axes, lambda summary: (summary.rate, summary.slowest, summary.fastest))
    axes.set_ylim(bottom=0)
    axes.set_ylabel("requests/s")
    axes.set_title("One row of 64 features a request, same model, same machine")


def _latency(run: Run, axes: Any) -> None:
    """The slowest hundredth of answers over the number of clients."""
    _lines(run, axes, lambda summary: (summary.p99, summary.p99, summary.p99))
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.set_ylabel("p99, ms")
    axes.set_title("99 of 100 answers came within")


def _lines(run: Run, axes: Any, value: Callable[[Summary], tuple[float, float, float]]) -> None:
    for contestant in run.contestants(digits.NAME):
        found = {
            int(point): summary
            for point in run.points(digits.NAME)
            if (summary := run.summary(digits.NAME, contestant, point)) is not None
        }
        values = [value(summary) for summary in found.values()]
        through_hub = contestant in {titles.HUB, titles.HUB_MLSERVER}
        axes.errorbar(
            list(found),
            [middle for middle, _, _ in values],
            yerr=[[middle - low for middle, low, _ in values], [high - middle for middle, _, high in values]],
            label=contestant,
            color=_COLOURS.get(contestant),
            linewidth=2.5 if through_hub else 1.3,
            linestyle="--" if contestant == titles.HTTP else "-",
            marker="o",
            markersize=5 if through_hub else 3,
            capsize=2,
        )
    axes.set_xscale("log", base=2)
    clients = [int(point) for point in run.points(digits.NAME)]
    axes.set_xticks(clients, [f"{count:,}" for count in clients])
    axes.set_xlabel(f"clients ({run.machine.cores} cores, {run.machine.processor})")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _steady(run: Run, axes: Any) -> None:
    """Throughput and memory over the time."""
    samples = run.of(steady.NAME)
    seconds = [float(sample.point.split()[0]) for sample in samples]
    axes.plot(seconds, [sample.load.rate for sample in samples], color=_COLOURS[titles.HUB])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds")
    axes.set_ylabel("requests/s (red)")
    memory = axes.twinx()
    sizes = [sum(part.memory for part in sample.usage) for sample in samples]
    memory.plot(seconds, sizes, color=_MIB_COLOUR)
    memory.set_ylim(bottom=0, top=max(sizes) * 1.2)
    memory.set_ylabel("MiB, all parts (blue)")
    axes.set_title("Steady load from 64 clients")
