"""Tables for people: what the command line prints unless it is asked for JSON."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mlhub.client import records
from mlhub.client.commands.cells import state
from mlhub.client.commands.cells import table as _table
from mlhub.client.commands.cells import text as _text
from mlhub.client.commands.rowfiles import lines
from mlhub.client.commands.terminal import printable
from mlhub.client.commands.units import ago, duration, size
from mlhub.common.signature import TensorSpec

_SHOWN: Final = 10
"""Lines of an output that a table shows."""


def models(items: Iterable[records.Model]) -> Table:
    """List models, a line each."""
    table = _table("model", "type", "state", "latest", "versions", "changed", "description")
    for item in items:
        table.add_row(
            _text(item.model),
            _text(item.type),
            state(item.state),
            _text(item.version or "-"),
            str(len(item.versions)),
            ago(item.updated_at),
            _text(item.description),
        )
    return table


def model(item: records.Model) -> RenderableType:
    """Show all that is known of a model."""
    facts = {
        "type": item.type,
        "latest": item.version or "no version is ready yet",
        "backend": item.backend,
        "description": item.description,
        "reference": item.reference,
        "discipline": item.discipline,
        "tags": ", ".join(item.tags),
        "owner": item.owner,
        "meta": _json(item.meta) if item.meta else "",
        "created": ago(item.created_at),
        "changed": ago(item.updated_at),
    }
    head = Text.assemble((printable(item.model), "bold"), "  ", state(item.state))
    if not item.versions:
        return Group(head, _facts(facts), _text(f"No versions yet: mlhub upload {item.model} BUNDLE"))
    return Group(head, _facts(facts), versions(item.versions))


def versions(items: Iterable[records.Version]) -> Table:
    """List versions, a line each."""
    table = _table("version", "state", "size", "takes", "gives", "uploaded", "reason")
    for item in items:
        table.add_row(
            _text(item.version),
            state(item.state),
            size(item.bundle.size) if item.bundle else "",
            _specs(item.signature.inputs) if item.signature else "",
            _specs(item.signature.outputs) if item.signature else "",
            ago(item.created_at),
            _text(item.error or ""),
        )
    return table


def version(item: records.Version) -> RenderableType:
    """Show all that is known of a version."""
    facts = {
        "reason": item.error,
        "takes": _specs(item.signature.inputs).plain if item.signature else "",
        "gives": _specs(item.signature.outputs).plain if item.signature else "",
        "labels": ", ".join(item.labels),
        "bundle": f"{item.bundle.filename}, {size(item.bundle.size)}" if item.bundle else "",
        "sha256": item.bundle.sha256 if item.bundle else "",
        "uploaded": ago(item.created_at),
        "ready": ago(item.ready_at),
    }
    name = " ".join(part for part in (item.model, item.version) if part)
    return Group(Text.assemble((printable(name), "bold"), "  ", state(item.state)), _facts(facts))


def uploaded(name: str, item: records.Version) -> RenderableType:
    """Tell what became of an upload."""
    line = Text.assemble((printable(f"{name} {item.version}"), "bold"), "  ", state(item.state))
    if item.state != "ready":
        line.append(f"  look again with: mlhub show {name}")
    return line


def saved(path: Path, count: int) -> RenderableType:
    """Tell where a download is."""
    return _text(f"{path}  {size(count)}")


def status(item: records.Status, url: str) -> RenderableType:
    """Show how a hub is, with a line for each part."""
    word = "ready" if item.ready else "not ready"
    head = Text.assemble(
        ("MLHub " + printable(item.version), "bold"),
        f"  {url}  ",
        state(word),
        f"  up {duration(item.uptime)}",
    )
    table = _table("part", "state", "what is wrong")
    for part in item.parts:
        table.add_row(_text(part.name), state("well" if part.healthy else "not well"), _text(part.detail))
    return Group(head, table)


def predictions(items: Iterable[records.Prediction]) -> Table:
    """List predictions, a line each."""
    table = _table("id", "model", "version", "status", "submitted", "took", "reason")
    for item in items:
        took = item.metrics.predict_time
        table.add_row(
            _text(item.id),
            _text(item.model),
            _text(item.version),
            state(item.status),
            ago(item.created_at),
            "" if took is None else duration(took),
            _text(item.error or ""),
        )
    return table


def prediction(item: records.Prediction) -> RenderableType:
    """Show a prediction with the beginning of its output."""
    head = Text.assemble((printable(item.id), "bold"), "  ", state(item.status))
    metrics = item.metrics
    facts = {
        "model": f"{item.model} {item.version}",
        "submitted": ago(item.created_at),
        "waited": "" if metrics.queue_time is None else duration(metrics.queue_time),
        "took": "" if metrics.predict_time is None else duration(metrics.predict_time),
        "rows": "" if item.progress is None else _rows(item.progress),
        "reason": item.error,
        "webhook": _webhook(item.webhook),
    }
    if item.progress is not None:
        hint = _text(f"mlhub job {item.id} --output FILE writes its output")
        return Group(head, _facts(facts), *([hint] if item.status == "succeeded" else []))
    if item.status != "succeeded":
        return Group(head, _facts(facts))
    output = list(lines(item.output, item.labels))
    shown = [_text(line) for line in output[:_SHOWN]]
    if len(output) > _SHOWN:
        shown.append(_text(f"… and {len(output) - _SHOWN} more; all of them with --json or --output FILE"))
    return Group(head, _facts(facts), *(Padding(line, (0, 0, 0, 2), expand=False) for line in shown))


def pools(item: records.Pools) -> RenderableType:
    """Show the pools of a backend."""
    table = _table("pool", "processes", "desired", "bounds", "by", "since")
    for kind, pool in item.by_kind.items():
        actual = Text(str(pool.actual), style="" if pool.actual == pool.desired else "yellow")
        bounds = f"{pool.minimum} to {pool.maximum}" + (", by load" if pool.automatic else "")
        table.add_row(_text(kind), actual, str(pool.desired), bounds, _text(pool.by), ago(pool.since))
    return table


def _webhook(item: records.Webhook | None) -> str | None:
    if item is None:
        return None
    if not item.deliveries:
        return f"{item.url} (not called yet)"
    last = item.deliveries[-1]
    said = "delivered" if last.error is None else f"{len(item.deliveries)} calls failed; {last.error}"
    return f"{item.url} ({said})"


def _rows(progress: records.Rows) -> str:
    return f"{progress.done:,} of {progress.total:,} ({progress.done / progress.total:.0%})"


def _facts(facts: dict[str, str | None]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        if value:
            grid.add_row(f"  {name}", _text(value))
    return grid


def _specs(specs: Iterable[TensorSpec]) -> Text:
    return _text(
        ", ".join(
            f"{spec.name} {spec.datatype} {_shape(spec.shape)}{' or missing' if spec.allow_missing else ''}"
            for spec in specs
        )
    )


def _shape(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join("n" if extent < 0 else str(extent) for extent in shape) + "]"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
