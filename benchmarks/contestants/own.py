"""MLHub's own model server, called directly."""

import io
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from benchmarks import digits
from benchmarks.contestants import titles
from benchmarks.contestants.base import Running
from benchmarks.contestants.environment import own_versions
from benchmarks.load import Request, json_request
from benchmarks.measure import tree
from benchmarks.program import answers, program
from benchmarks.workspace import Workspace, free_port


class OwnServer:
    """`mlhub serve FRAMEWORK` with models in a folder."""

    name = "own"

    def __init__(
        self,
        workspace: Workspace,
        framework: str = "sklearn",
        bundles: Mapping[str, bytes] | None = None,
        requests: Mapping[str, tuple[Request, ...]] | None = None,
        title: str = titles.OWN,
    ) -> None:
        self.title = title
        self._workspace = workspace
        self._framework = framework
        self._bundles = bundles
        self._requests = requests

    def missing(self) -> str | None:
        """It comes with the hub."""
        return None

    def versions(self) -> dict[str, str]:
        """Name what it runs on."""
        return own_versions("mlhub", "falcon", "gunicorn", "uvloop", "numpy", "scikit-learn")

    @contextmanager
    def running(self) -> Iterator[Running]:
        """Run it with one process, as the hub does."""
        repository = self._workspace.folder(f"{self.name}-{self._framework}")
        bundles = {digits.NAME: digits.trained().bundle} if self._bundles is None else self._bundles
        for model, bundle in bundles.items():
            folder = repository / model / "1"
            if not folder.exists():
                with tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
                    archive.extractall(folder, filter="data")
        port = free_port()
        origin = f"http://127.0.0.1:{port}"
        command = [
            *(sys.executable, "-m", "mlhub", "serve", self._framework),
            *("--port", str(port), "--repository", str(repository)),
        ]
        log = self._workspace.log(self.name)
        with program(command, log, ready=answers(origin, "/v2/health/ready")) as pid:
            requests = self._requests or {digits.NAME: (json_request(infer(digits.NAME), digits.oip_body()),)}
            yield Running(origin=origin, requests=requests, parts=lambda: {"server": tree(pid)})


def infer(model: str) -> str:
    """Return the path of a model's first version."""
    return f"/v2/models/{model}/versions/1/infer"
