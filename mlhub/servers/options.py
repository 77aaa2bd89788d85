"""What a model server is told when it starts. Light to import: the process that only watches needs it."""

from pathlib import Path

import msgspec


class RuntimeOptions(msgspec.Struct, frozen=True):
    """What an administrator lets the models of a server do."""

    max_memory: int
    """Bytes that loaded models may take together, so also the most that a single one may."""
    allow_pickles: bool = False
    """Whether pickles are loaded, which can run any code."""
    trusted: tuple[str, ...] = ()
    """Full names of types that a skops file may hold besides those that skops trusts itself."""
    threads: int = 1
    """Threads that one prediction computes with; several predictions run at once in any case."""
    device: str = "auto"
    """Where models of PyTorch compute: a name that PyTorch knows, or `auto` for a GPU where there is one."""


class ServerOptions(msgspec.Struct, frozen=True):
    """What a model server process needs to know."""

    framework: str
    """One of `mlhub.servers.frameworks.FRAMEWORKS`."""
    repository: Path
    """Folder with the models."""
    runtime: RuntimeOptions
    max_body_bytes: int
    """Bytes an inference request may have."""
    shared: Path | None = None
    """Folder in which several processes of the server tell each other of their numbers."""
