"""Load from wrk: not written in Python, so that it takes little of what is measured."""

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

import msgspec

_UNITS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class Measured(msgspec.Struct, frozen=True):
    """What one run showed."""

    rate: float
    """Requests a second."""
    p50: float
    """Milliseconds."""
    p99: float
    """Milliseconds."""
    errors: int
    """Answers with another status than 2xx or 3xx, and broken connections."""


def load(url: str, body: Any, clients: int, seconds: int) -> Measured:
    """Have `clients` connections post a JSON body, each waiting for its answer before the next."""
    text = msgspec.json.encode(body).decode()
    script = (
        f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [==[{text}]==]\n'
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "post.lua"
        path.write_text(script)
        command = [
            "wrk",
            "-t1",
            f"-c{clients}",
            f"-d{seconds}s",
            "--timeout",
            "30s",
            "--latency",
            "-s",
            str(path),
            url,
        ]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Measured(
        rate=float(_find(r"Requests/sec:\s+([\d.]+)", output)),
        p50=_milliseconds(_find(r"\n +50% +(\S+)", output)),
        p99=_milliseconds(_find(r"\n +99% +(\S+)", output)),
        errors=_errors(output),
    )


def _find(pattern: str, output: str) -> str:
    found = re.search(pattern, output)
    if found is None:
        raise ValueError(f"wrk printed something else than expected:\n{output}")
    return found.group(1)


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\D+)", text).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS[unit]


def _errors(output: str) -> int:
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    return sum(int(number) for found in (refused, broken) if found for number in found.groups())
