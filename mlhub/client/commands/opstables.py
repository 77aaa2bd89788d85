"""Tables of operations: backends, queues, workers."""

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mlhub.client.commands.cells import state, table, text
from mlhub.client.commands.units import duration, size
from mlhub.common.operations import BackendState, QueueState, WorkerState


def backends(items: Iterable[BackendState]) -> Table:
    """List backends, a line each."""
    shown = table(
        "backend", "state", "serves", "protocol", "predict", "jobs", "servers", "waiting", "addresses"
    )
    for item in items:
        word = {True: "well", False: "not well", None: "unknown"}[item.healthy]
        told = Text.assemble(state(word), text(f"  {item.detail}" if item.detail else ""))
        shown.add_row(
            text(item.name),
            told,
            text(", ".join(item.types)),
            text(item.protocol),
            str(item.workers.get("predict", 0)),
            str(item.workers.get("jobs", 0)),
            str(item.pools["servers"].actual) if "servers" in item.pools else "-",
            str(sum(queue.ready for queue in item.queues)),
            text(" ".join(item.addresses)),
        )
    return shown


def queues(items: Iterable[QueueState]) -> Table:
    """List queues, a line each; what the broker does not tell is a dash."""
    shown = table("queue", "waiting", "held", "workers", "in", "out", "oldest")
    for item in items:
        nobody = item.ready > 0 and item.consumers == 0 and item.backend is not None
        shown.add_row(
            text(item.name),
            str(item.ready),
            "-" if item.unacknowledged is None else str(item.unacknowledged),
            Text(str(item.consumers), style="red" if nobody else ""),
            _rate(item.publish_rate),
            _rate(item.deliver_rate),
            _age(item),
        )
    return shown


def workers(items: Iterable[WorkerState]) -> RenderableType:
    """List workers, a line each."""
    found = list(items)
    if not found:
        return Group(text("No worker lives; start some: mlhub worker --backend NAME --kind predict"))
    shown = table("worker", "backend", "kind", "active", "done", "memory", "up", "heard")
    now = datetime.now(UTC)
    for item in found:
        shown.add_row(
            text(item.name),
            text(item.backend),
            text(item.kind),
            f"{item.active}/{item.concurrency}",
            str(item.processed),
            "-" if item.memory is None else size(item.memory),
            "" if item.started_at is None else duration((now - item.started_at).total_seconds()),
            f"{duration(max(0.0, (now - item.last_heartbeat).total_seconds()))} ago",
        )
    return shown


def _rate(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.1f}/s"


def _age(item: QueueState) -> str:
    if item.oldest_age is None:
        return "-"
    return duration(item.oldest_age) if item.ready else ""
