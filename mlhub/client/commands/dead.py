"""`mlhub dead`: work that was given up."""

from typing import TYPE_CHECKING, Annotated

import typer

from mlhub.client.commands import options
from mlhub.client.commands.terminal import connect, show
from mlhub.client.commands.units import ago
from mlhub.common.words import counted

if TYPE_CHECKING:
    from rich.table import Table

    from mlhub.common.deadletter import DeadLetter

app = typer.Typer(no_args_is_help=True, help="Look at work that was given up, try it once more, or drop it.")

_QUEUE = "mlhub.dead"
_NAMED = 5
"""What a message is about, of which a table names so many."""


@app.command(name="list", epilog="Examples:\n\nmlhub dead list\n\nmlhub dead list --json")
def list_(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Messages at most.")] = 100,
    url: options.Url = None,
    token: options.Token = None,
    as_json: options.Json = False,
) -> None:
    """List the messages, oldest first; they stay."""
    with connect(url, token) as hub:
        letters = hub.dead_letters(limit)
        show(letters, _table(letters) if letters else "Nothing was given up.", as_json=as_json)


@app.command(epilog="Examples:\n\nmlhub dead retry\n\nmlhub dead retry ID")
def retry(
    message: Annotated[
        str | None, typer.Argument(help="Only this message of the list.", show_default=False)
    ] = None,
    *,
    url: options.Url = None,
    token: options.Token = None,
    as_json: options.Json = False,
) -> None:
    """Put messages back on the queues they came from: predictions that failed for them are done again."""
    with connect(url, token) as hub:
        done = hub.retry_dead_letters(message)
        again = counted(done.predictions, "prediction is", "predictions are")
        line = f"{counted(done.messages, 'message')} went back; {again} to be done again."
        show(done, line, as_json=as_json)


@app.command(epilog="Examples:\n\nmlhub dead empty --yes")
def empty(
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: options.Url = None,
    token: options.Token = None,
    as_json: options.Json = False,
) -> None:
    """Drop the messages; what they were about stays failed."""
    with connect(url, token) as hub:
        if not yes:
            typer.confirm("Drop all dead letters? What they were about stays failed.", abort=True, err=True)
        done = hub.purge(_QUEUE)
        show(done, f"{counted(done.messages, 'message is', 'messages are')} gone.", as_json=as_json)


def _table(letters: "list[DeadLetter]") -> "Table":
    from mlhub.client.commands.cells import table as new_table  # noqa: PLC0415 - `mlhub --help` is quick without
    from mlhub.client.commands.cells import text  # noqa: PLC0415

    table = new_table("message", "task", "from", "given up", "why", "about")
    for letter in letters:
        errors = {item.error or "" for item in letter.predictions}
        why = "; ".join(sorted(errors)) or letter.reason.replace("_", " ")
        about = [item.id for item in letter.predictions] or letter.records
        more = len(about) - _NAMED
        named = "\n".join(about[:_NAMED]) + (f"\nand {more} more" if more > 0 else "")
        table.add_row(
            text(letter.id),
            text(letter.task),
            text(letter.queue),
            ago(letter.died_at),
            text(why),
            text(named),
        )
    return table
