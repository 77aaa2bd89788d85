"""Load from wrk: not written in Python, so that it takes little of what is measured.

The load is closed: each client waits for its answer before it asks again.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from benchmarks.errors import BenchmarkError

_SCRIPT: Final = Path(__file__).with_name("load.lua")
_MARK: Final = "@@"
"""Stands before the line in which the script says what it measured."""
_PATIENCE: Final = 60
"""Seconds after which wrk counts an answer as late."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request, the same whoever sends it."""

    method: str = "POST"
    path: str
    headers: dict[str, str] = {}
    body: bytes = b""

    def wire(self, host: str) -> bytes:
        """Return it as it goes over a connection."""
        fields = {"Host": host} | self.headers
        if self.body or self.method != "GET":
            fields["Content-Length"] = str(len(self.body))
        lines = [
            f"{self.method} {self.path} HTTP/1.1",
            *(f"{name}: {value}" for name, value in fields.items()),
        ]
        return "\r\n".join((*lines, "", "")).encode() + self.body


def json_request(path: str, body: Any) -> Request:
    """Make the request that posts a JSON body."""
    return Request(path=path, headers={"Content-Type": "application/json"}, body=msgspec.json.encode(body))


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of wrk showed; times are milliseconds."""

    requests: int
    """Answers that came, good or bad."""
    seconds: float
    bytes: int
    p50: float
    p90: float
    p99: float
    longest: float
    refused: int
    """Answers with a status of 400 or more."""
    broken: int
    """Connections that could not be made, or broke."""
    late: int
    """Answers that took longer than a minute."""

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return (self.requests - self.refused) / self.seconds

    @property
    def errors(self) -> int:
        """Everything that went wrong."""
        return self.refused + self.broken + self.late


def load(origin: str, requests: Sequence[Request], clients: int, seconds: float) -> Load:
    """Have `clients` connections send requests in turn, each waiting for its answer before the next.

    Args:
        origin: `http://host:port`.
        requests: what to send; one after another, and again from the first.
        clients: connections.
        seconds: how long; wrk takes whole seconds.

    Raises:
        BenchmarkError: wrk is not there or fails.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise BenchmarkError("wrk is not installed: apt-get install wrk.")
    host = urlsplit(origin).netloc
    with tempfile.TemporaryDirectory(prefix="mlhub-load-") as folder:
        for number, request in enumerate(requests, 1):
            (Path(folder) / str(number)).write_bytes(request.wire(host))
        command = [
            *(
                wrk,
                "--threads",
                "1",
                "--connections",
                str(clients),
                "--duration",
                f"{max(1, round(seconds))}s",
            ),
            *(
                "--timeout",
                f"{_PATIENCE}s",
                "--script",
                str(_SCRIPT),
                origin,
                "--",
                folder,
                str(len(requests)),
            ),
        ]
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
    if ended.returncode != 0:
        raise BenchmarkError(f"wrk failed: {(ended.stderr or ended.stdout).strip()}")
    return parse(ended.stdout)


def parse(output: str) -> Load:
    """Read what the script has wrk print.

    Raises:
        BenchmarkError: it is not there.
    """
    for line in output.splitlines():
        if line.startswith(_MARK):
            return msgspec.json.decode(line.removeprefix(_MARK), type=Load)
    raise BenchmarkError(f"wrk printed something else than expected:\n{output}")


def once(origin: str, request: Request, timeout: float = _PATIENCE) -> bytes:
    """Send one request; return the body of a good answer.

    Raises:
        BenchmarkError: the answer is not good, or there is none.
    """
    connection = HTTPConnection(urlsplit(origin).netloc, timeout=timeout)
    try:
        connection.request(request.method, request.path, request.body, request.headers)
        response = connection.getresponse()
        body = response.read()
    except (OSError, HTTPException) as error:
        raise BenchmarkError(f"{request.method} {origin}{request.path} got no answer: {error}") from error
    finally:
        connection.close()
    if response.status >= 400:  # noqa: PLR2004 (the first status that is an error)
        raise BenchmarkError(
            f"{request.method} {origin}{request.path} was answered with {response.status}: {body[:500]!r}"
        )
    return body
