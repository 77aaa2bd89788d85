"""`mlhub up` and `mlhub down`: the whole hub on one machine."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mlhub.local.lifecycle import Started

_Data = Annotated[
    Path,
    typer.Option(envvar="MLHUB_DATA", help="Folder with all data of this hub; made when it is not there."),
]


def up(
    port: Annotated[int, typer.Option(envvar="MLHUB_PORT", help="Port of the API.")] = 8181,
    data: _Data = Path(".mlhub"),
    host: Annotated[
        str, typer.Option(envvar="MLHUB_HOST", help="Address of the API; any but loopback needs MLHUB_TOKEN.")
    ] = "127.0.0.1",
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, and stop all with Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the addresses as JSON.")] = False,
) -> None:
    """Start the whole hub on this machine, with a sample model to try.

    RabbitMQ, a document database, model servers, workers and the API are started in the background and
    kept running. MLHUB_BROKER_URL and MLHUB_MONGODB_URL use servers of yours instead. A second call
    changes nothing; 'mlhub down' stops it.
    """
    from mlhub.api.command import check_exposure  # noqa: PLC0415 (`mlhub --help` is quick without)
    from mlhub.common.settings import load_settings  # noqa: PLC0415
    from mlhub.local import lifecycle, report  # noqa: PLC0415
    from mlhub.local.instance import Instance  # noqa: PLC0415

    settings = load_settings()
    check_exposure(settings.model_copy(update={"host": host}))
    instance = Instance(data)
    with report.progress(quiet=as_json) as say, lifecycle.locked(instance):
        started = lifecycle.start(instance, host, port, say)
        try:
            answer = report.try_sample(started.url, settings.token, say)
        except BaseException:
            if foreground:
                lifecycle.stop(instance)
            raise
    report.show(instance, started, answer, token=settings.token, as_json=as_json)
    if foreground:
        _stay(started)
        lifecycle.stop(instance)


def down(data: _Data = Path(".mlhub")) -> None:
    """Stop the hub on this machine; its data stays for the next 'mlhub up'."""
    from mlhub.local import lifecycle  # noqa: PLC0415 (`mlhub --help` is quick without)
    from mlhub.local.instance import Instance  # noqa: PLC0415

    instance = Instance(data)
    if not instance.folder.is_dir():
        sys.stdout.write(f"There is no hub in {instance.folder}.\n")
        return
    with lifecycle.locked(instance):
        lifecycle.stop(instance)
    sys.stdout.write(f"The hub is down; its data is in {instance.folder}.\n")


def _stay(started: "Started") -> None:
    """Wait until the watcher ends, or somebody wants everything to end."""

    def leave(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    try:
        if started.process is not None:
            started.process.wait()
        else:
            signal.pause()
    except KeyboardInterrupt:
        sys.stdout.write("\nstopping\n")
