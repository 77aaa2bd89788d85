"""What an idle hub takes, how long it takes to start, and what a large upload costs in memory."""

import argparse
import os
import tempfile
from pathlib import Path

import psutil

from benchmarks.hub import RunningHub, running_hub
from mlhub.client import Client, HubError

MIB = 1024 * 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="upload 128 MiB instead of 1 GiB")
    options = parser.parse_args()
    size = (128 if options.quick else 1024) * MIB
    with running_hub() as hub:
        print(f"mlhub up: {hub.seconds:.1f} s")
        sizes = hub.memory()
        for name, bytes_ in sorted(sizes.items(), key=lambda item: -item[1]):
            print(f"{bytes_ / MIB:8.0f} MiB  {name}")
        print(f"{sum(sizes.values()) / MIB:8.0f} MiB  resident in all")
        print(f"upload of {size // MIB} MiB: the API grew by {_growth(hub, size) / MIB:.0f} MiB at most")


def _growth(hub: RunningHub, size: int) -> int:
    """Upload `size` bytes; return how much the most any API process ever had exceeds what it had before."""
    before = _peak(hub, "VmRSS")
    with tempfile.TemporaryDirectory(dir=hub.folder) as folder, Client(hub.url, timeout=300) as client:
        path = Path(folder) / "large.tar.gz"
        with path.open("wb") as file:
            # The first bytes of a gzip; what follows need not be one for this purpose.
            file.write(b"\x1f\x8b")
            for _ in range(size // MIB):
                file.write(os.urandom(MIB))
        client.create("large", type="ScikitLearn")
        try:
            client.upload("large", path, wait=1)
        except HubError as error:
            # It is no model, which validation will say or has said by now.
            print(f"(as it must be: {error})")
    return _peak(hub, "VmHWM") - before


def _peak(hub: RunningHub, field: str) -> int:
    pids = [int(name.split()[0]) for name in hub.memory() if "mlhub api" in name]
    values = []
    for pid in pids:
        if psutil.pid_exists(pid):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            values += [int(line.split()[1]) * 1024 for line in lines if line.startswith(field)]
    return max(values)


if __name__ == "__main__":
    main()
