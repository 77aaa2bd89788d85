"""`mlhub serve`: a model server of MLHub's own."""

import logging
import os
import shutil
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mlhub.common.addresses import is_loopback
from mlhub.common.errors import UnacceptableError

if TYPE_CHECKING:
    from mlhub.servers.options import ServerOptions

_MIB: Final = 1024 * 1024
_NATIVE_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """Which log lines there are."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def serve(  # noqa: PLR0913 - the command's options
    framework: Annotated[
        str,
        typer.Argument(
            metavar="FRAMEWORK", help="Framework of the models: sklearn, pytorch, keras or tensorflow."
        ),
    ],
    *,
    repository: Annotated[
        Path, typer.Option(help="Folder with the models, as <model>/<version>/…; made when missing.")
    ] = Path("models"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port to listen on.",
            show_default="8191 sklearn, 8192 pytorch, 8193 keras, 8194 tensorflow",
        ),
    ] = None,
    allow_remote: Annotated[
        bool,
        typer.Option(
            "--allow-remote/--no-allow-remote",
            help="Listen on other than loopback addresses too. There is no login: anyone who can reach "
            "the port can use and unload the models.",
        ),
    ] = False,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes; each loads the models it is asked for.")
    ] = 1,
    max_memory: Annotated[
        int,
        typer.Option(
            min=1,
            help="MiB that the models in one process may take; what was used least recently makes room.",
        ),
    ] = 1024,
    max_body_bytes: Annotated[int, typer.Option(min=1, help="Bytes an inference request may have.")] = 128
    * _MIB,
    allow_pickles: Annotated[
        bool | None,
        typer.Option(
            "--allow-pickles/--no-allow-pickles",
            help="Load *.joblib and *.pkl too. A pickle can run any code on this machine. "
            "Default MLHUB_ALLOW_PICKLES, or else no.",
        ),
    ] = None,
    trust: Annotated[
        list[str] | None,
        typer.Option(
            help="Full name of a type that *.skops files may hold besides scikit-learn's own, such as "
            "a function of yours; the refusal of a file names those in it. Can be given several times.",
        ),
    ] = None,
    threads: Annotated[
        int,
        typer.Option(
            min=1,
            help="Threads that one prediction computes with. Several predictions run at once in any case, so "
            "more help only large models that few clients use.",
        ),
    ] = 1,
    device: Annotated[
        str,
        typer.Option(
            help="Where PyTorch computes: cpu, cuda, cuda:1, mps; auto takes a GPU if there is one."
        ),
    ] = "auto",
    log_format: Annotated[
        LogFormat | None, typer.Option(help="How log lines look; default MLHUB_LOG_FORMAT.")
    ] = None,
    log_level: Annotated[
        LogLevel | None,
        typer.Option(case_sensitive=False, help="The least important lines to log; default MLHUB_LOG_LEVEL."),
    ] = None,
) -> None:
    """Serve models of one framework by the Open Inference Protocol v2.

    Models load at their first use, many versions side by side. SIGTERM lets requests end.

    [bold]What it serves[/], one file (or one SavedModel) in a folder of its own, <model>/<version>/:

    sklearn: model.skops, from skops.io.dump.

    pytorch: model.pt2, from torch.export.save with a free first dimension; or model.pt, from
    torch.jit.save, with a mlhub.json that says what it takes.

    keras: model.keras, from model.save, without Lambda layers. KERAS_BACKEND chooses the engine.

    tensorflow: saved_model.pb and variables/, from tf.saved_model.save or model.export.

    [bold]To try it[/]: mlhub serve pytorch --repository models, then
    curl http://127.0.0.1:8192/v2/models/<model>
    """
    # What serves takes its time to import; `mlhub --help` should not wait for it.
    from mlhub.common import logs, tracing  # noqa: PLC0415
    from mlhub.common.asgi import AsgiServer  # noqa: PLC0415
    from mlhub.common.settings import SERVER_PORTS, load_settings  # noqa: PLC0415
    from mlhub.servers.frameworks import check_framework  # noqa: PLC0415
    from mlhub.servers.options import RuntimeOptions, ServerOptions  # noqa: PLC0415

    check_framework(framework)
    tracing.check()
    settings = load_settings()
    if allow_pickles is None:
        allow_pickles = settings.allow_pickles
    logs.configure(log_format or settings.log_format, log_level or settings.log_level)
    check_exposure(host, allow_remote=allow_remote)
    limit_native_threads(threads)
    repository.mkdir(parents=True, exist_ok=True)
    options = ServerOptions(
        framework=framework,
        repository=repository.absolute(),
        runtime=RuntimeOptions(
            max_memory=max_memory * _MIB,
            allow_pickles=allow_pickles,
            trusted=tuple(trust or ()),
            threads=threads,
            device=device,
        ),
        max_body_bytes=max_body_bytes,
        shared=_shared_folder() if processes > 1 else None,
    )
    name = f"mlhub-serve-{framework}"
    port = SERVER_PORTS[framework] if port is None else port
    watching = os.getpid()
    try:
        AsgiServer(name, lambda: _create(options), host=host, port=port, processes=processes).run()
    finally:
        # Processes that serve come by here, too.
        if options.shared is not None and os.getpid() == watching:
            shutil.rmtree(options.shared, ignore_errors=True)


def _shared_folder() -> Path | None:
    """Make the folder in which processes tell each other of their numbers, where there is a place for it."""
    try:
        return Path(tempfile.mkdtemp(prefix="mlhub-serve-"))
    except OSError as error:
        logging.getLogger(__name__).warning("/metrics tells of one process at a time: %s", error)
        return None


def _create(options: "ServerOptions") -> Any:
    # It brings numpy and the framework, which the process that only watches does without.
    from mlhub.servers.app import create_app  # noqa: PLC0415

    return create_app(options)


def check_exposure(host: str, *, allow_remote: bool) -> None:
    """Refuse to listen beyond this machine unless that is wanted, and then say so.

    Raises:
        UnacceptableError: the host is not a loopback address, and that is not allowed.
    """
    if is_loopback(host):
        return
    if not allow_remote:
        raise UnacceptableError(
            f"Listening on {host} lets others in, and there is no login; add --allow-remote to do so.",
            code="exposed",
        )
    logging.getLogger(__name__).warning(
        "listening on %s: anyone who can reach this port can use and unload the models", host
    )


def limit_native_threads(count: int) -> None:
    """Have BLAS and OpenMP compute in so many threads, unless the environment says otherwise.

    Several predictions run at once already. To be called before these libraries are loaded.
    """
    for name in _NATIVE_THREADS:
        os.environ.setdefault(name, str(count))
