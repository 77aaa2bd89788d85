"""What every contestant can do: say whether it is there, run, and be asked."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol

import msgspec

from benchmarks.load import Request
from benchmarks.measure import Parts

ROOT: Final = Path(__file__).resolve().parents[2]
"""Of the repository; other servers have their virtual environments here."""


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A contestant that runs and is ready."""

    origin: str
    requests: Mapping[str, tuple[Request, ...]]
    """What to ask it, by what a scenario calls it; of several, each in turn."""
    parts: Callable[[], Parts]


class Contestant(Protocol):
    """A way to get predictions."""

    @property
    def name(self) -> str:
        """Short, for options and files."""
        ...

    @property
    def title(self) -> str:
        """For people."""
        ...

    def missing(self) -> str | None:
        """Say what is not installed, if anything."""
        ...

    def versions(self) -> dict[str, str]:
        """Name the software that takes part, with versions."""
        ...

    def running(self) -> AbstractContextManager[Running]:
        """Run it, alone, until the block ends.

        Raises:
            BenchmarkError: it does not get ready.
        """
        ...
