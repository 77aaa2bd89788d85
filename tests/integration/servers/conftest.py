"""Real model servers, as processes of their own on ports of their own, for the tests to call."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import joblib
import msgspec
import pytest
import requests
import skops.io
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mlhub.common import oip, tensor
from mlhub.local.ports import free_ports

PATIENCE: Final = 150.0
"""Seconds that what a test waits for may take, on a machine with other things to do."""


class ModelServer:
    """A running model server."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.models = folder / "models"
        port = free_ports(("server",), {})["server"]
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / "server.log"
        arguments = ("--port", str(port), "--repository", str(self.models), *options)
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                (sys.executable, "-m", "mlhub", "serve", "sklearn", *arguments),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text(errors="replace")

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert self.process.poll() is None, f"the server ended\n{self.log}"
            assert time.monotonic() < deadline, f"{what} did not come true\n{self.log}"
            time.sleep(0.05)

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/v2/health/ready", timeout=PATIENCE).ok
        except requests.ConnectionError:
            return False

    patience = PATIENCE

    def stop(self, seconds: float = PATIENCE) -> int:
        """End it in good order; return its exit status."""
        self.process.terminate()
        return self.process.wait(seconds)

    def kill(self) -> None:
        """Leave nothing of it, whatever state it is in."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait()

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=PATIENCE)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        if isinstance(body, bytes | Iterator):
            data = body
        else:
            data = msgspec.json.encode({} if body is None else body)
        return requests.post(self.url + path, data=data, timeout=PATIENCE, **options)

    def infer(
        self, path: str, rows: NDArray[Any], *outputs: str, binary: bool = True
    ) -> dict[str, NDArray[Any]]:
        """Predict; `path` is a model, or `model/versions/version`."""
        body, length = oip.encode_request([tensor.encode("input", rows)], outputs, binary=binary)
        headers = {} if length is None else {oip.HEADER_LENGTH: str(length)}
        answer = self.post(f"/v2/models/{path}/infer", body, headers=headers)
        assert answer.status_code == 200, answer.text
        found = answer.headers.get(oip.HEADER_LENGTH)
        assert (found is not None) == binary
        decoded = oip.decode_response(answer.content, int(found) if found else None)
        return {item.name: tensor.decode(item) for item in decoded}

    def states(self) -> dict[str, str]:
        """State of each version, by `model/version`."""
        listed = self.post("/v2/repository/index").json()
        return {f"{item['name']}/{item['version']}": item["state"] for item in listed}

    def save(self, path: str, estimator: Any) -> Path:
        """Put a model where the server looks, complete from the first moment; `path` is `model/version`."""
        place = self.models / path
        incoming = place.parent / f".{place.name}"
        incoming.mkdir(parents=True)
        skops.io.dump(estimator, incoming / "model.skops")
        return incoming.rename(place)

    def save_pickle(self, path: str, estimator: Any) -> None:
        place = self.models / path
        place.mkdir(parents=True)
        joblib.dump(estimator, place / "model.joblib")


class Code:
    """A function whose pickle is an expression, since the server does not know the modules of tests."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self.call = eval(expression)  # noqa: S307 (an expression of this module)

    def __call__(self, *arguments: Any) -> Any:
        return self.call(*arguments)

    def __reduce__(self) -> Any:
        return eval, (self._expression,)


def waiting(gate: Path) -> str:
    """Return the expression that waits until a file is there."""
    there = f"__import__('os').path.exists({str(gate)!r})"
    return f"[__import__('time').sleep(0.02) for _ in iter(lambda: {there}, True)]"


class Gate:
    """Is unpickled only when a file is there."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> Any:
        return eval, (waiting(self._file),)


class Models:
    """Estimators, trained here and now, with rows to predict."""

    def __init__(self) -> None:
        pixels, values = load_digits(return_X_y=True)
        self.rows = pixels[:100]
        """Pictures, [100, 64]."""
        self.plain = LogisticRegression(max_iter=3000).fit(pixels[100:], values[100:])
        self.scaled = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000)).fit(
            pixels[100:900], values[100:900]
        )

    def slow_to_load(self, gate: Path) -> Any:
        """Return a model that is loaded once a file is there."""
        estimator = StandardScaler().fit(self.rows)
        estimator.gate_ = Gate(gate)
        return estimator

    @staticmethod
    def slow_to_answer(gate: Path) -> Any:
        """Return a model that answers what is above zero once a file is there; at its load it is tried with less."""
        answer = Code(f"lambda rows: ((rows > 0).any() and {waiting(gate)}, rows)[1]")
        return FunctionTransformer(answer).fit([[0.0]])


@pytest.fixture(scope="session")
def trained() -> Models:
    """Return the models."""
    return Models()


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., ModelServer]]:
    """Start servers; those that still run end with the tests."""
    servers: list[ModelServer] = []

    def start(*options: str) -> ModelServer:
        server = ModelServer(tmp_path_factory.mktemp("server"), *options)
        servers.append(server)
        server.wait_until(server.is_ready, "readiness")
        return server

    try:
        yield start
    finally:
        for server in servers:
            server.kill()


@pytest.fixture(scope="session")
def server(start: Callable[..., ModelServer], trained: Models) -> ModelServer:
    """Return a server with two versions of a model, which tests may not change."""
    server = start()
    server.save("digits/1-aa", trained.plain)
    server.save("digits/2-bb", trained.scaled)
    later = time.time() + 60
    os.utime(server.models / "digits/2-bb", (later, later))
    return server
