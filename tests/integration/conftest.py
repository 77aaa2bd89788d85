"""A whole hub for the tests: API, workers and model server as processes, on the tests' broker and database."""

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import psutil
import pytest
import requests
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from skops.io import dumps

from mlhub.local.ports import free_ports
from mlhub.local.processes import command_line

START: Final = 150.0
"""Seconds that the parts may take to get ready, on a machine with other things to do."""

WEBHOOK_SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""What the shared hub signs webhooks with."""


class Part:
    """One process of the hub."""

    def __init__(
        self, name: str, arguments: tuple[str, ...], environment: dict[str, str], folder: Path
    ) -> None:
        self.name = name
        self._arguments = (sys.executable, "-m", "mlhub", *arguments)
        self.environment = environment
        """Its variables besides those of the tests."""
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it and all processes it started."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            # gunicorn's processes are killed with it, as a machine that dies would.
            if number is signal.SIGKILL:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
            process.wait(START)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


class Hub:
    """A running hub."""

    def __init__(self, parts: dict[str, Part], port: int, server_port: int, folder: Path) -> None:
        self.parts = parts
        self.url = f"http://127.0.0.1:{port}"
        self.server_url = f"http://127.0.0.1:{server_port}"
        """The model server's own address."""
        self.bundles = folder / "bundles"
        self.models = folder / "models"

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START
        while not holds():
            logs = "\n".join(f"--- {part.name}\n{part.log[-3000:]}" for part in self.parts.values())
            assert time.monotonic() < deadline, f"{what} did not come true\n{logs}"
            time.sleep(0.05)

    def wait_until_ready(self) -> None:
        self.wait_until(self.is_ready, "readiness")

    def is_ready(self) -> bool:
        """Tell whether all processes of the API say so: those that answer calls which come at once."""

        def asked(_: int) -> bool:
            try:
                return requests.get(f"{self.url}/health/ready", timeout=30).ok
            except requests.RequestException:
                return False

        with ThreadPoolExecutor(16) as pool:
            return all(pool.map(asked, range(16)))

    def api_processes(self) -> list[psutil.Process]:
        """Return the processes of the API that serve; one that has ended and waits to be collected is none."""
        children = psutil.Process(self.parts["api"].pid).children()
        return [child for child in children if command_line(child)]

    def healthy(self) -> dict[str, bool]:
        """Whether each backend is well."""
        return {part["name"]: part["healthy"] for part in self.call("GET", "/status").json()["backends"]}

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return requests.request(method, self.url + path, timeout=START, **options)

    def create(self, name: str, **fields: Any) -> requests.Response:
        return self.call("POST", f"/model/{name}", json={"type": "ScikitLearn", **fields})

    def upload(self, name: str, content: bytes, *, wait: int = 120, **parameters: str) -> requests.Response:
        headers = {"Content-Type": "application/octet-stream", "Prefer": f"wait={wait}"}
        return self.call("POST", f"/model/{name}/upload", data=content, headers=headers, params=parameters)

    def publish(self, name: str, content: bytes) -> None:
        assert self.create(name).status_code == 201
        answer = self.upload(name, content)
        assert answer.status_code == 201, answer.text


class Digits(msgspec.Struct, frozen=True):
    """A model of handwritten digits, with what it must answer."""

    estimator: Any
    bundle: bytes
    """The model as tar.gz."""
    rows: NDArray[np.float64]
    """Pictures to predict, [100, 64]."""
    expected: list[int]
    """What the estimator itself says of them."""


@contextmanager
def running(
    folder: Path, broker: Any, database_server: Any, types: dict[str, str], label: str = "", **variables: str
) -> Iterator[Hub]:
    """Run a hub with one process of each kind.

    Args:
        folder: for all that it keeps.
        broker: that it uses, perhaps with others that have other backends.
        database_server: that it uses with others.
        types: the type of model by the name of the framework, each with a server and pools of its own.
        label: begins the names of its backends, and so of its queues on the shared broker.
        variables: further settings.
    """
    (folder / "models").mkdir()
    ports = free_ports(("api", *types), {})
    backends = {
        f"{label}{name}": {
            "protocol": "oip",
            "addresses": [f"http://127.0.0.1:{ports[name]}"],
            "types": [model_type],
            "repository": str(folder / "models"),
        }
        for name, model_type in types.items()
    }
    environment = {
        "MLHUB_BROKER_URL": broker.url,
        "MLHUB_MONGODB_URL": database_server.url,
        "MLHUB_BUNDLES": str(folder / "bundles"),
        "MLHUB_RUN_DIR": str(folder),
        "MLHUB_PORT": str(ports["api"]),
        "MLHUB_BACKENDS": msgspec.json.encode(backends).decode(),
        **variables,
    }
    commands: dict[str, tuple[str, ...]] = {}
    for name in types:
        # The only framework's parts have the plain names.
        suffix = f"-{name}" if len(types) > 1 else ""
        repository = ("--repository", str(folder / "models"))
        commands[f"server{suffix}"] = ("serve", name, "--port", str(ports[name]), *repository)
        commands[f"predict{suffix}"] = ("worker", "--backend", f"{label}{name}", "--kind", "predict")
        commands[f"jobs{suffix}"] = ("worker", "--backend", f"{label}{name}", "--kind", "jobs")
    commands["api"] = ("api",)
    parts = {name: Part(name, arguments, environment, folder) for name, arguments in commands.items()}
    hub = Hub(parts, ports["api"], ports[next(iter(types))], folder)
    try:
        for part in parts.values():
            part.start()
        hub.wait_until_ready()
        yield hub
    finally:
        for part in reversed(parts.values()):
            part.stop()


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory, broker: Any, database_server: Any) -> Iterator[Hub]:
    """A hub with one process of each kind; a test that stops a part starts it again."""
    variables = {
        "MLHUB_DATABASE": "hub",
        "MLHUB_API_PROCESSES": "2",
        "MLHUB_MAX_BUNDLE_BYTES": str(64 * 1024 * 1024),
        "MLHUB_SWEEP_INTERVAL": "2",
        "MLHUB_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "MLHUB_WEBHOOK_PRIVATE": "127.0.0.1/32",
        "MLHUB_WEBHOOK_PAUSE": "0.1",
        "MLHUB_WEBHOOK_ATTEMPTS": "4",
        "MLHUB_WEBHOOK_TIMEOUT": "60",
    }
    types = {"sklearn": "ScikitLearn"}
    with running(tmp_path_factory.mktemp("hub"), broker, database_server, types, **variables) as hub:
        yield hub


@pytest.fixture(scope="session")
def frameworks_hub(
    tmp_path_factory: pytest.TempPathFactory, broker: Any, database_server: Any
) -> Iterator[Hub]:
    """A hub for the frameworks of neural networks, each with a model server of its own."""
    types = {"pytorch": "PyTorch", "keras": "Keras", "tensorflow": "TensorFlow"}
    folder = tmp_path_factory.mktemp("frameworks")
    with running(folder, broker, database_server, types, MLHUB_DATABASE="frameworks") as hub:
        hub.wait_until(lambda: all(hub.healthy().values()), "the health of every backend")
        yield hub


@pytest.fixture(scope="session")
def pack() -> Callable[[dict[str, bytes]], bytes]:
    """Make a tar.gz of files by name."""
    return bundle


@pytest.fixture(scope="session")
def make_hub() -> Callable[[dict[str, tuple[str, ...]], dict[str, str], dict[str, int], Path], Hub]:
    """Makes hubs of other parts than the shared one; whoever makes one starts and stops its parts."""

    def make(
        commands: dict[str, tuple[str, ...]], environment: dict[str, str], ports: dict[str, int], folder: Path
    ) -> Hub:
        parts = {name: Part(name, arguments, environment, folder) for name, arguments in commands.items()}
        return Hub(parts, ports["api"], ports["server"], folder)

    return make


@pytest.fixture(scope="session")
def make_running_hub(
    tmp_path_factory: pytest.TempPathFactory, broker: Any, database_server: Any
) -> Callable[..., Any]:
    """Makes hubs with settings of their own, which run as long as the context."""

    def make(label: str, **variables: str) -> Any:
        folder = tmp_path_factory.mktemp("hub")
        return running(folder, broker, database_server, {"sklearn": "ScikitLearn"}, f"{label}-", **variables)

    return make


@pytest.fixture(scope="session")
def digits() -> Digits:
    """A model trained here and now."""
    pixels, values = load_digits(return_X_y=True)
    estimator = LogisticRegression(max_iter=3000).fit(pixels[100:], values[100:])
    rows = pixels[:100]
    return Digits(
        estimator, bundle({"model.skops": dumps(estimator)}), rows, estimator.predict(rows).tolist()
    )


@pytest.fixture(scope="session")
def published(hub: Hub, digits: Digits) -> str:
    """The name of the digits model, ready on the hub."""
    hub.publish("digits", digits.bundle)
    return "digits"


def files_below(*roots: Path) -> set[Path]:
    """Return the files in some folders; folders may go meanwhile, which `rglob` does not forgive."""
    return {Path(folder, name) for root in roots for folder, _, names in os.walk(root) for name in names}


def bundle(files: dict[str, bytes]) -> bytes:
    """Make a tar.gz of files by name."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()
