"""Looks into the pickles of a bundle for what would run code, without loading any.

The scanner follows whatever a hostile file says, and may hang or fall over: it gets a process, an amount of
memory and a time of its own.
"""

import logging
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from mlhub.common.errors import UnacceptableError
from mlhub.workers.deadline import Deadline

_LISTED: Final = 5
"""Names that a sentence repeats."""
_MEMORY: Final = 4 * 1024**3
"""Bytes of address space that the scanner may take."""
_PICKLES: Final = frozenset(
    {".pkl", ".pickle", ".joblib", ".dat", ".data", ".bin", ".pt", ".pth", ".ckpt", ".npy"}
)
"""Endings of files that are looked into, besides zips and what begins like a pickle."""
_MAGIC: Final = (b"PK\x03\x04", *(b"\x80" + bytes([protocol]) for protocol in range(6)))


class Finding(msgspec.Struct, frozen=True):
    """A file with something dangerous in it."""

    file: str
    """Path within the bundle."""
    names: tuple[str, ...]
    """What it would import; nothing where the file cannot be read."""


_FINDINGS: Final = msgspec.json.Decoder(list[Finding])


def scan(folder: Path, deadline: Deadline) -> None:
    """Look into every file of an unpacked bundle that may be a pickle or hold some.

    Raises:
        UnacceptableError: one names what could do harm, or makes the scanner fall over.
        OverdueError: the scanner did not end in time.
    """
    if next(suspects(folder), None) is None:
        # A process less for most bundles.
        return
    command = [sys.executable, "-P", "-m", __name__, str(folder)]
    try:
        found = subprocess.run(  # noqa: S603 (the interpreter, with this module and a folder of ours)
            command,
            capture_output=True,
            timeout=max(deadline.left, 0.001),
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise deadline.error() from error
    if found.returncode != 0:
        raise UnacceptableError(
            "The bundle holds a file that cannot be looked into safely; save the model anew with the "
            "framework's own function, and pack nothing else.",
            code="unsafe_pickle",
        )
    for finding in _FINDINGS.decode(found.stdout):
        raise _refused(finding)


def suspects(folder: Path) -> Iterator[Path]:
    """Yield the files that are worth a look."""
    for base, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(base, name)
            if path.stat().st_size and (path.suffix.lower() in _PICKLES or _begins_like_one(path)):
                yield path


def _begins_like_one(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4).startswith(_MAGIC)


def _refused(finding: Finding) -> UnacceptableError:
    names = ", ".join(finding.names[:_LISTED]) + ", …" * (len(finding.names) > _LISTED)
    return UnacceptableError(
        f"The bundle's {finding.file} is a pickle that would run code when it is loaded: it names {names}; "
        "save the model without it, in the format of its framework that holds no code.",
        code="unsafe_pickle",
    )


def look(folder: Path) -> list[Finding]:
    """Return what is dangerous in a folder; in the scanner's process alone."""
    from picklescan.scanner import SafetyLevel, scan_bytes  # noqa: PLC0415 (costs the hub's workers nothing)

    found: list[Finding] = []
    for path in suspects(folder):
        with path.open("rb") as file:
            result = scan_bytes(file, path.name, path.suffix.lower())
        names = sorted(
            {f"{one.module}.{one.name}" for one in result.globals if one.safety is SafetyLevel.Dangerous}
        )
        if names:
            found.append(Finding(str(path.relative_to(folder)), tuple(names)))
    return found


def main() -> None:
    """Look into the folder that the command line names; print the findings."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    # The scanner tells its log whole stacks of what a file made it do.
    logging.disable(logging.CRITICAL)
    sys.stdout.buffer.write(msgspec.json.encode(look(Path(sys.argv[1]))))


if __name__ == "__main__":
    main()
