"""A program that the watcher keeps running."""

import msgspec


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """How to start a program, and when to stop it."""

    name: str
    """Name of its watcher and of its log."""
    arguments: tuple[str, ...]
    """The command, first the executable."""
    environment: dict[str, str] = {}
    """Variables on top of the watcher's own."""
    tier: int
    """Programs of a lower tier stop first: the API before the workers, the broker last."""
    patience: float = 15.0
    """Seconds it has to end by itself when it is stopped."""
    processes: int = 1
