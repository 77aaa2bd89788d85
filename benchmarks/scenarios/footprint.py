"""What an idle hub takes, how long it takes to start, and what a large upload costs in memory."""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from benchmarks.bench import Bench
from benchmarks.hub import hub_parts, running_hub
from benchmarks.measure import MIB, memory
from mlhub.client import Client, HubError

NAME: Final = "footprint"
TITLE: Final = "An idle hub, and a large upload"
START: Final = "mlhub up, a second time"
IDLE: Final = "an idle hub"


def measure(bench: Bench) -> None:
    """Start a hub twice, look at its parts, and upload a file."""
    folder = bench.workspace.folder("hub").resolve()
    bench.tell("footprint: starting a hub")
    with running_hub(folder):
        pass
    started = time.monotonic()
    with running_hub(folder) as origin:
        bench.note(NAME, START, time.monotonic() - started, "s")
        parts = hub_parts(folder)
        for part, processes in parts.items():
            bench.note(NAME, f"{IDLE}: {part}", memory(processes), "MiB")
        bench.note(NAME, IDLE, sum(map(memory, parts.values())), "MiB")
        size = 128 if bench.options.quick else 1024
        bench.tell(f"footprint: uploading {size} MiB")
        bench.note(
            NAME, f"growth of the API in an upload of {size} MiB", _growth(origin, folder, size), "MiB"
        )


def _growth(origin: str, folder: Path, size: int) -> float:
    """Upload `size` MiB; return by how many the API's largest process grew meanwhile."""
    before = _most(folder, "VmRSS")
    path = folder.parent / "large.tar.gz"
    with path.open("wb") as file:
        # The first bytes of a gzip; what follows need not be one for this purpose.
        file.write(b"\x1f\x8b")
        for _ in range(size):
            file.write(os.urandom(MIB))
    with Client(origin, timeout=300) as client:
        client.create("large", type="ScikitLearn")
        # It is no model, which validation will say or has said by now.
        with suppress(HubError):
            client.upload("large", path, wait=1)
        growth = _most(folder, "VmHWM") - before
        client.delete("large")
    path.unlink()
    return growth / MIB


def _most(folder: Path, field: str) -> int:
    """Return the largest of what the API's processes say of their memory, in bytes."""
    values = []
    for process in hub_parts(folder)["API"]:
        with suppress(psutil.Error, OSError):
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            values += [int(line.split()[1]) * 1024 for line in lines if line.startswith(field)]
    return max(values)
