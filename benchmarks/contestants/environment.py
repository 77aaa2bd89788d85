"""The virtual environments of servers that the hub is compared with."""

import sys
from pathlib import Path
from typing import Final

from benchmarks.contestants.base import ROOT
from benchmarks.machine import output

_VERSIONS: Final = """
import importlib.metadata as m, sys
print(*(f"{n}={m.version(n)}" for n in sys.argv[1:]), f"python={sys.version.split()[0]}")
"""


class Environment:
    """One of them: `.venv-NAME` beside the project, made by `make bench`."""

    def __init__(self, name: str) -> None:
        self.folder = ROOT / f".venv-{name}"
        self.python = self.folder / "bin" / "python"

    def missing(self) -> str | None:
        """Say that it is not there, if it is not."""
        if self.python.exists():
            return None
        return f"{self.folder.name} is not there; make it with: make {self.folder.name}"

    def program(self, name: str) -> str:
        """Return the path of a program that is installed in it."""
        return str(self.folder / "bin" / name)

    def versions(self, *packages: str) -> dict[str, str]:
        """Return the versions of packages in it."""
        return package_versions(self.python, *packages)


def package_versions(python: Path, *packages: str) -> dict[str, str]:
    """Return the versions of packages that an interpreter sees."""
    pairs = output(str(python), "-c", _VERSIONS, *packages).split()
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def own_versions(*packages: str) -> dict[str, str]:
    """Return the versions of packages in this very environment."""
    return package_versions(Path(sys.executable), *packages)
