"""How fast a hub sends a bundle, beside nginx sending the same file: `python -m benchmarks.download`.

It uploads a bundle of one gibibyte of chance to a running hub, and has curl fetch it from the hub and from
an nginx of its own, in turn. The version is no good as a model and fails validation, which does not matter.
"""

import argparse
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Final

from mlhub.client import Client, HubError

_NAME: Final = "download-benchmark"
_MIB: Final = 1024 * 1024
_CONFIG: Final = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ }}
http {{
    access_log off;
    sendfile on;
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    server {{ listen 127.0.0.1:{port}; root {folder}/files; }}
}}
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hub", default="http://127.0.0.1:8181", help="address of a running hub")
    parser.add_argument("--size", type=int, default=1024, help="MiB of the bundle")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Client(options.hub, timeout=600) as hub:
        folder = Path(name)
        folder.chmod(0o755)
        bundle = _make_bundle(folder, options.size)
        began = time.perf_counter()
        _upload(hub, bundle)
        print(f"upload: {options.size / (time.perf_counter() - began):,.0f} MiB/s")
        with _nginx(folder) as nginx:
            _measure(f"{options.hub}/model/{_NAME}/download", f"{nginx}/{bundle.name}", options.rounds)
        hub.delete(_NAME)


def _measure(hub: str, nginx: str, rounds: int) -> None:
    speeds: dict[str, list[float]] = {hub: [], nginx: []}
    for _ in range(rounds):
        for url, found in speeds.items():
            found.append(_fetch(url))
    ours, theirs = median(speeds[hub]), median(speeds[nginx])
    print(f"hub: {ours:,.0f} MiB/s, nginx: {theirs:,.0f} MiB/s, ratio {ours / theirs:.2f}")


def _fetch(url: str) -> float:
    """Return the speed in MiB/s."""
    arguments = ["curl", "-sS", "--fail", "-o", "/dev/null", "-w", "%{speed_download}", url]
    return float(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout) / _MIB


def _make_bundle(folder: Path, size: int) -> Path:
    """Make a tar of `size` MiB; chance, so that nothing on the way can make it smaller."""
    (folder / "files").mkdir()
    content = folder / "content"
    with content.open("wb") as file:
        for _ in range(size):
            file.write(os.urandom(_MIB))
    bundle = folder / "files" / "bundle.tar"
    with tarfile.open(bundle, "w") as archive:
        archive.add(content, "model.skops")
    content.unlink()
    return bundle


def _upload(hub: Client, bundle: Path) -> None:
    with suppress(HubError):
        hub.delete(_NAME)
    hub.create(_NAME, "ScikitLearn")
    hub.upload(_NAME, bundle, wait=0)


@contextmanager
def _nginx(folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, port=port))
    with subprocess.Popen(
        [shutil.which("nginx") or "nginx", "-p", str(folder), "-c", str(config)]
    ) as process:
        try:
            _await(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _await(port: int, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit("nginx does not start.")


if __name__ == "__main__":
    main()
