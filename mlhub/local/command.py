"""`mlhub up` and `mlhub down`: the whole hub on one machine."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mlhub.local.instance import Instance

_Data = Annotated[
    Path,
    typer.Option(envvar="MLHUB_DATA", help="Folder with all data of this hub; made when it is not there."),
]
_BUSY = "waiting for another 'mlhub up' or 'mlhub down' of this folder to end"
_Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def up(
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port of the API; else MLHUB_PORT.", show_default="8181"),
    ] = None,
    data: _Data = Path(".mlhub"),
    host: Annotated[
        str | None,
        typer.Option(
            help="Address of the API; else MLHUB_HOST. Any but loopback needs MLHUB_TOKEN.",
            show_default="127.0.0.1",
        ),
    ] = None,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, and stop all with Ctrl-C.")] = False,
    as_json: _Json = False,
) -> None:
    """Start the whole hub on this machine, with a sample model to try.

    RabbitMQ, a document database, model servers, workers and the API are started in the background and
    kept running. MLHUB_BROKER_URL and MLHUB_MONGODB_URL use servers of yours instead. A second call
    changes nothing; 'mlhub down' stops it.
    """
    from mlhub.api.command import check_exposure  # noqa: PLC0415 (`mlhub --help` is quick without)
    from mlhub.common.settings import load_settings  # noqa: PLC0415
    from mlhub.local.extra import check_extra  # noqa: PLC0415

    check_extra()
    from mlhub.local import lifecycle, report  # noqa: PLC0415
    from mlhub.local.instance import Instance  # noqa: PLC0415

    settings = load_settings()
    wanted = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    strict = bool(wanted) or bool({"host", "port"} & settings.model_fields_set)
    settings = settings.model_copy(update=wanted)
    check_exposure(settings)
    instance = Instance(data)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A shell that starts a program in the background has it ignore Ctrl-C unless it says otherwise.
        signal.signal(number, _interrupt)
    with report.progress(quiet=as_json) as say, instance.locked(lambda: say(_BUSY)):
        started = lifecycle.start(instance, settings, strict=strict, say=say)
    try:
        with report.progress(quiet=as_json) as say:
            digit = report.offer_sample(started.plan, settings.token, say)
        report.show(instance, started, digit, settings.token, as_json=as_json)
        if foreground:
            _stay(instance)
    finally:
        if foreground:
            _stop(instance, as_json=as_json)


def down(data: _Data = Path(".mlhub"), as_json: _Json = False) -> None:
    """Stop the hub on this machine; its data stays for the next 'mlhub up'."""
    import msgspec  # noqa: PLC0415 (`mlhub --help` is quick without)

    from mlhub.local.extra import check_extra  # noqa: PLC0415
    from mlhub.local.instance import Instance  # noqa: PLC0415

    check_extra()
    instance = Instance(data)
    ran = instance.folder.is_dir() and _stop(instance, as_json=as_json)
    if as_json:
        sys.stdout.write(msgspec.json.encode({"stopped": ran, "data": str(instance.folder)}).decode() + "\n")
    elif ran:
        sys.stdout.write(f"The hub is down; its data stays in {instance.folder}.\n")
    else:
        sys.stdout.write(f"No hub runs in {instance.folder}.\n")


def _stop(instance: "Instance", *, as_json: bool) -> bool:
    from mlhub.local import lifecycle, report  # noqa: PLC0415 (`mlhub --help` is quick without)

    with report.progress(quiet=as_json) as say, instance.locked(lambda: say(_BUSY)):
        say("stopping")
        return lifecycle.stop(instance, say)


def _stay(instance: "Instance") -> None:
    """Wait until the watcher ends, or somebody wants everything to end."""
    from mlhub.local import processes  # noqa: PLC0415 (`mlhub --help` is quick without)

    watcher = processes.find_watcher(instance.folder)
    try:
        if watcher is not None:
            watcher.wait()
    except KeyboardInterrupt:
        # What was asked for, and no reason to end with an error.
        return


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
