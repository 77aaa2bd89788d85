"""`mlhub doctor`: looks at every part, and says what to do."""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from mlhub.doctor.finding import Finding
    from mlhub.local.instance import Instance

_STYLES: Final = {"good": "green", "warning": "yellow", "bad": "bold red"}


def doctor(
    data: Annotated[
        Path,
        typer.Option(
            envvar="MLHUB_DATA", help="Folder of 'mlhub up': when a hub runs there, it is the one looked at."
        ),
    ] = Path(".mlhub"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Check an installation: broker, queues, database, clocks, store, disks, model servers, settings.

    Give it the settings that the hub's processes have; it changes nothing. The exit code is 1 when
    something does not work.
    """
    import msgspec  # noqa: PLC0415 (`mlhub --help` is quick without)

    from mlhub.doctor.examination import examine  # noqa: PLC0415
    from mlhub.doctor.finding import State  # noqa: PLC0415

    # What the parts log of their trouble, the findings say.
    logging.disable(logging.WARNING)
    os.environ |= _environment(data)
    findings = examine()
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(findings)).decode() + "\n")
    else:
        _show(findings)
    if any(finding.state is State.BAD for finding in findings):
        raise typer.Exit(1)


def _environment(data: Path) -> dict[str, str]:
    """Return the settings of the hub of `mlhub up` in a folder; none when there is no such hub.

    Of one that does not run only those that nothing else says: what was set on purpose is meant.
    """
    import msgspec  # noqa: PLC0415

    from mlhub.local.instance import Instance  # noqa: PLC0415
    from mlhub.local.program import Plan  # noqa: PLC0415

    instance = Instance(data)
    try:
        environment = msgspec.json.decode(instance.plan.read_bytes(), type=Plan).environment
    except (OSError, msgspec.DecodeError):
        return {}
    if _runs(instance):
        return environment
    return {name: value for name, value in environment.items() if name not in os.environ}


def _runs(instance: "Instance") -> bool:
    try:
        from mlhub.local import processes  # noqa: PLC0415
    except ImportError:
        # Without the extra that starts hubs none runs here.
        return False
    return processes.find_watcher(instance.folder) is not None


def _show(findings: "list[Finding]") -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("what", "state", "found, and what to do"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        told = Text(finding.detail)
        if finding.advice:
            told.append(f"\n→ {finding.advice}", style="bold")
        table.add_row(Text(finding.what), Text(finding.state.value, style=_STYLES[finding.state.value]), told)
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)
