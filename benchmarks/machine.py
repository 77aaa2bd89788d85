"""What a run was made on."""

import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where and when a run was made."""

    processor: str
    cores: int
    """Logical ones, those that this process may use."""
    memory_gib: float
    system: str
    python: str
    commit: str
    """Of this repository; ends in + when files were changed since."""
    date: str
    load_before: float
    """Average number of busy processes in the minute before the run: nearly 0 on a machine that is free."""


def describe() -> Machine:
    """Look at this machine."""
    return Machine(
        processor=_processor(),
        cores=len(psutil.Process().cpu_affinity()),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        system=_system(),
        python=platform.python_version(),
        commit=_commit(),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        load_before=round(psutil.getloadavg()[0], 2),
    )


def output(*command: str) -> str:
    """Return what a command prints; nothing when it fails or is not there."""
    try:
        ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (ended.stdout or ended.stderr).strip() if ended.returncode in {0, 1} else ""


def _processor() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found.group(1) if found else platform.machine()


def _system() -> str:
    release = platform.freedesktop_os_release()
    return f"{release.get('PRETTY_NAME', platform.system())}, kernel {platform.release()}"


def _commit() -> str:
    folder = str(Path(__file__).parent)
    commit = output("git", "-C", folder, "rev-parse", "--short", "HEAD")
    changed = output("git", "-C", folder, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}{'+' if changed else ''}"
