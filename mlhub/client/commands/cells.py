"""What all tables are made of."""

from typing import Final

from rich.table import Table
from rich.text import Text

from mlhub.client.commands.terminal import printable

_COLOURS: Final = {
    "ready": "green",
    "well": "green",
    "succeeded": "green",
    "validating": "yellow",
    "starting": "yellow",
    "processing": "yellow",
    "failed": "red",
    "not ready": "red",
    "not well": "red",
    "canceled": "dim",
    "empty": "dim",
    "unknown": "dim",
}


def table(*columns: str) -> Table:
    """Make an empty table."""
    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def text(given: str) -> Text:
    """Show text that came from elsewhere."""
    # Never markup: brackets in what users wrote are theirs.
    return Text(printable(given))


def state(word: str) -> Text:
    """Give a state its colour."""
    return Text(printable(word), style=_COLOURS.get(word, ""))
