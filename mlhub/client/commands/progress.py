"""Progress bars for transfers, on a terminal only."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from mlhub.client.bundle import Progress as Callback


class RateColumn(ProgressColumn):
    """How many rows a second."""

    def render(self, task: Task) -> Text:
        """Write it."""
        rate = task.finished_speed or task.speed
        return Text("" if rate is None else f"{rate:,.0f} rows/s")


@contextmanager
def transfer(doing: str, then: str | None = None) -> Iterator[Callback | None]:
    """Show a bar on standard error; yield what to tell it, nothing when nobody looks.

    Args:
        doing: what is done, e.g. `Uploading`.
        then: what the hub does once all bytes are there.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(doing, total=None)

        def tell(done: int, total: int | None) -> None:
            over = then if then is not None and done == total else None
            bar.update(task, completed=done, total=total, description=f"{doing}, {over}" if over else doing)

        yield tell


@contextmanager
def rows(doing: str) -> Iterator[Callback | None]:
    """Show a bar for rows on standard error; yield what to tell it, nothing when nobody looks."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
