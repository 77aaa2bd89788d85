"""Tables for people: what the command line prints unless it is asked for JSON."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mlhub.client.records import Model, Prediction, Version

_COLOURS = {
    "ready": "green",
    "succeeded": "green",
    "validating": "yellow",
    "starting": "yellow",
    "processing": "yellow",
    "failed": "red",
    "canceled": "dim",
    "empty": "dim",
}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024


def models(items: Iterable[Model]) -> Table:
    """List models, a line each."""
    table = _table("model", "type", "latest", "state", "versions", "changed", "description")
    for item in items:
        table.add_row(
            item.model,
            item.type,
            item.version or "",
            coloured(item.state),
            str(len(item.versions)),
            ago(item.updated_at),
            Text(item.description),
        )
    return table


def versions(items: Iterable[Version]) -> Table:
    """List versions, a line each."""
    table = _table("version", "state", "size", "takes", "gives", "uploaded", "reason")
    for version in items:
        signature = version.signature
        table.add_row(
            version.version,
            coloured(version.state),
            size(version.bundle.size),
            _specs(signature.inputs) if signature else "",
            _specs(signature.outputs) if signature else "",
            ago(version.created_at),
            Text(version.error or ""),
        )
    return table


def status(answer: dict[str, Any]) -> Table:
    """List the parts of a hub, a line each."""
    table = _table("part", "state", "what is wrong")
    parts = [answer["broker"], answer["database"], answer["store"], *answer["backends"]]
    for part in parts:
        state = "[green]well[/]" if part["healthy"] else "[red]not well[/]"
        table.add_row(part["name"], state, Text(part.get("detail", "")))
    return table


def model(item: Model) -> RenderableType:
    """Show all that is known of a model."""
    latest = item.version or "none"
    head = f"[bold]{item.model}[/]  {item.type}  {coloured(item.state)}  latest: {latest}"
    facts: dict[str, Any] = {
        "description": item.description,
        "reference": item.reference,
        "discipline": item.discipline,
        "owner": item.owner,
        "tags": ", ".join(item.tags),
        "meta": item.meta,
    }
    # Text, so that square brackets of the user's own are not taken for markup.
    lines: list[RenderableType] = [Text(f"  {name}: {value}") for name, value in facts.items() if value]
    return Group(head, *lines, versions(item.versions) if item.versions else "")


def prediction(item: Prediction) -> RenderableType:
    """Show an asynchronous prediction."""
    head = f"[bold]{item.id}[/]  {item.model} {item.version}  {coloured(item.status)}"
    facts = {"reason": item.error, "output": item.output}
    return Group(head, *(Text(f"  {name}: {value}") for name, value in facts.items() if value is not None))


def coloured(state: str) -> str:
    """Give a state its colour."""
    return f"[{_COLOURS.get(state, 'default')}]{state}[/]"


def size(count: int) -> str:
    """Write a number of bytes for people: `1.5 MiB`."""
    value = float(count)
    for unit in _UNITS[:-1]:
        if value < _STEP:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= _STEP
    return f"{value:.1f} {_UNITS[-1]}"


def ago(time: datetime) -> str:
    """Write how long ago something was: `3 min ago`."""
    seconds = (datetime.now(UTC) - time).total_seconds()
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return "just now"


def _specs(specs: Iterable[Any]) -> str:
    return ", ".join(f"{spec.name} {spec.datatype} {_shape(spec.shape)}" for spec in specs)


def _shape(shape: tuple[int, ...]) -> str:
    # Round brackets: square ones are rich's own.
    return "(" + ", ".join("n" if extent < 0 else str(extent) for extent in shape) + ")"


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
