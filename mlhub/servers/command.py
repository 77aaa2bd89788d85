"""`mlhub serve`: one of MLHub's own model servers."""

from pathlib import Path
from typing import Annotated

import typer


def serve(
    framework: Annotated[str, typer.Argument(help="Which one: sklearn.")],
    repository: Annotated[Path, typer.Option(help="Folder with the models: model/version/files.")] = Path("models"),
    host: Annotated[str, typer.Option(help="Address to listen on; the protocol has no login.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8191,
    processes: Annotated[int, typer.Option(min=1, help="Processes, each with its models in memory.")] = 1,
    max_memory: Annotated[int, typer.Option(min=1, help="MiB that the models of a process may take.")] = 2048,
    max_body: Annotated[int, typer.Option(min=1, help="MiB that a request may have.")] = 256,
    allow_pickles: Annotated[
        bool, typer.Option("--allow-pickles", help="Load pickles, which can run any code.")
    ] = False,
) -> None:
    """Run a model server that speaks the Open Inference Protocol v2.

    For example: mlhub serve sklearn --repository models
    """
    # `mlhub --help` is quick without these.
    from mlhub.common import logs  # noqa: PLC0415
    from mlhub.common.settings import load_settings  # noqa: PLC0415
    from mlhub.servers.app import ServerOptions  # noqa: PLC0415
    from mlhub.servers.process import Listening, ModelServer  # noqa: PLC0415
    from mlhub.servers.runtime import RuntimeOptions  # noqa: PLC0415

    settings = load_settings()
    logs.configure(settings.log_format, settings.log_level)
    mib = 1024 * 1024
    runtime = RuntimeOptions(max_memory * mib, allow_pickles=allow_pickles or settings.allow_pickles)
    options = ServerOptions(framework, repository, runtime, max_body * mib)
    ModelServer(options, Listening(host, port, processes, settings.log_level)).run()
