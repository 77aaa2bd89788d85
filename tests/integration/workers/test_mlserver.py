"""A model server that is not MLHub's own: MLServer, through its adapter and through a whole hub."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import requests
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from mlhub.common import tensor
from mlhub.common.backend import BackendSettings
from mlhub.common.errors import BackendError, BackendRefusedError, BackendUnreachableError, NotDeployedError
from mlhub.common.signature import ANY, TensorSpec
from mlhub.local.ports import free_ports
from mlhub.workers.adapters import create_adapter
from mlhub.workers.adapters.base import BackendAdapter

PATIENCE = 150.0
"""Seconds that what a test waits for may take, on a machine with other things to do."""
ENVIRONMENT = Path(__file__).parents[3] / ".venv-mlserver"
PIXELS, _ = load_digits(return_X_y=True)
SIGNATURE = {
    "inputs": [{"name": "pixels", "datatype": "FP64", "shape": [ANY, 64]}],
    "outputs": [{"name": "predict", "datatype": "INT64", "shape": [ANY, 1]}],
}
TRAIN = """
import sys, joblib
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
joblib.dump(LogisticRegression(max_iter=300, C=0.01).fit(*load_digits(return_X_y=True)), sys.argv[1])
"""


TRAIN_BOOSTED = """
import sys, joblib, json, numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
rows = np.array([[1, np.nan], [np.nan, 1]] * 40)
model = HistGradientBoostingClassifier(max_iter=3).fit(rows, [0, 1] * 40)
joblib.dump(model, sys.argv[1])
print(json.dumps(model.predict(np.array([[np.nan, 1], [2, np.nan], [np.nan, np.nan]])).tolist()))
"""


class MLServer:
    """One process of it; it can be killed and started again on its port."""

    def __init__(self, folder: Path) -> None:
        self.repository = folder / "models"
        self.repository.mkdir()
        ports = free_ports(("http", "grpc", "metrics"), {})
        self.address = f"http://127.0.0.1:{ports['http']}"
        self._log = folder / "mlserver.log"
        settings = {
            "host": "127.0.0.1",
            "http_port": ports["http"],
            "grpc_port": ports["grpc"],
            "metrics_port": ports["metrics"],
            "parallel_workers": 0,
            "debug": False,
        }
        (folder / "settings.json").write_bytes(msgspec.json.encode(settings))
        self._folder = folder
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                (ENVIRONMENT / "bin" / "mlserver", "start", self._folder),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self.adapter().probe()
            except BackendError:
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < deadline, self._log.read_text()
                time.sleep(0.1)

    def adapter(self) -> BackendAdapter:
        return create_adapter(
            BackendSettings(protocol="mlserver", addresses=(self.address,), repository=self.repository)
        )

    def direct(self, model: str, rows: NDArray[Any]) -> list[int]:
        """Ask it as its own users do."""
        body = {
            "inputs": [
                {"name": "x", "shape": list(rows.shape), "datatype": "FP64", "data": rows.ravel().tolist()}
            ]
        }
        answer = requests.post(f"{self.address}/v2/models/{model}/infer", json=body, timeout=PATIENCE)
        assert answer.ok, answer.text
        return list(answer.json()["outputs"][0]["data"])

    def kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLServer]:
    started = MLServer(tmp_path_factory.mktemp("mlserver"))
    yield started
    started.kill()


@pytest.fixture(scope="module")
def adapter(server: MLServer) -> BackendAdapter:
    return server.adapter()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model and what is said of it."""
    folder = tmp_path_factory.mktemp("files")
    # With the versions of scikit-learn and joblib that will load it.
    subprocess.run([ENVIRONMENT / "bin" / "python", "-c", TRAIN, folder / "digits.joblib"], check=True)
    (folder / "mlhub.json").write_bytes(msgspec.json.encode({"signature": SIGNATURE}))
    return folder


@pytest.fixture(scope="module")
def digits(adapter: BackendAdapter, files: Path) -> str:
    """Return a deployment of the model `digits` that tests leave there."""
    adapter.deploy("digits", "1-aaaaaaaa", files)
    return "1-aaaaaaaa"


def predict(adapter: BackendAdapter, deployment: str, rows: NDArray[Any], *outputs: str) -> NDArray[Any]:
    (found,) = adapter.predict("digits", deployment, [tensor.encode("pixels", rows)], outputs)
    return tensor.decode(found)


def test_it_predicts_what_it_does_when_called_directly(
    adapter: BackendAdapter, digits: str, server: MLServer
) -> None:
    assert adapter.ready("digits", digits)
    assert predict(adapter, digits, PIXELS).ravel().tolist() == server.direct("digits", PIXELS)
    probabilities = predict(adapter, digits, PIXELS[:7], "predict_proba")
    assert probabilities.shape == (7, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)


def test_the_signature_is_what_the_bundle_says(adapter: BackendAdapter, digits: str) -> None:
    signature = adapter.signature("digits", digits)
    assert signature.inputs == (TensorSpec("pixels", "FP64", (ANY, 64)),)
    assert signature.batchable


def test_values_may_be_missing_on_their_way_through_json(
    adapter: BackendAdapter, server: MLServer, tmp_path: Path
) -> None:
    path = tmp_path / "model.joblib"
    script = (ENVIRONMENT / "bin" / "python", "-c", TRAIN_BOOSTED, path)
    expected = json.loads(subprocess.run(script, check=True, capture_output=True).stdout)
    inputs = [{"name": "x", "datatype": "FP64", "shape": [ANY, 2], "allow_missing": True}]
    outputs = SIGNATURE["outputs"]
    description = {"signature": {"inputs": inputs, "outputs": outputs}}
    (tmp_path / "mlhub.json").write_bytes(msgspec.json.encode(description))
    adapter.deploy("boosted", "1-eeeeeeee", tmp_path)
    rows = np.array([[np.nan, 1], [2, np.nan], [np.nan, np.nan]])
    (found,) = adapter.predict("boosted", "1-eeeeeeee", [tensor.encode("x", rows)])
    assert tensor.decode(found).ravel().tolist() == expected


def test_versions_stand_side_by_side_and_go_one_by_one(
    adapter: BackendAdapter, digits: str, files: Path
) -> None:
    adapter.deploy("digits", "2-bbbbbbbb", files)
    assert {("digits", digits), ("digits", "2-bbbbbbbb")} <= adapter.deployments()
    adapter.undeploy("digits", "2-bbbbbbbb")
    assert not adapter.ready("digits", "2-bbbbbbbb")
    with pytest.raises(NotDeployedError, match="2-bbbbbbbb"):
        predict(adapter, "2-bbbbbbbb", PIXELS[:1])
    assert ("digits", "2-bbbbbbbb") not in adapter.deployments()
    assert ("digits", digits) in adapter.deployments()
    assert len(predict(adapter, digits, PIXELS[:3])) == 3
    adapter.undeploy("digits", "2-bbbbbbbb")


def test_the_last_version_leaves_nothing(adapter: BackendAdapter, files: Path, server: MLServer) -> None:
    adapter.deploy("other", "1-cccccccc", files)
    adapter.undeploy("other", "1-cccccccc")
    assert not adapter.ready("other", "1-cccccccc")
    assert not (server.repository / "other").exists()
    adapter.undeploy("other", "1-cccccccc")


def test_rows_it_does_not_like_are_an_error_with_its_words(adapter: BackendAdapter, digits: str) -> None:
    with pytest.raises(BackendRefusedError, match="nonsense"):
        predict(adapter, digits, PIXELS[:1], "nonsense")
    with pytest.raises(BackendError):
        predict(adapter, digits, PIXELS[:1, :5])


def test_settings_in_a_bundle_are_refused_since_they_name_code_to_run(
    adapter: BackendAdapter, tmp_path: Path
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "model-settings.json").write_text('{"name": "x", "implementation": "os.system"}')
    with pytest.raises(BackendRefusedError, match="leave it out"):
        adapter.deploy("evil", "1-dddddddd", tmp_path)


def test_what_cannot_be_loaded_is_an_error_and_can_be_taken_away(
    adapter: BackendAdapter, digits: str, tmp_path: Path
) -> None:
    (tmp_path / "model.joblib").write_bytes(b"no model")
    with pytest.raises(BackendError):
        adapter.deploy("broken", "1-eeeeeeee", tmp_path)
    adapter.undeploy("broken", "1-eeeeeeee")
    assert ("digits", digits) in adapter.deployments()


def test_a_kill_in_the_middle_of_batches_costs_no_wrong_answer(
    adapter: BackendAdapter, digits: str, server: MLServer
) -> None:
    expected = [predict(adapter, digits, PIXELS[k : k + 64]).ravel().tolist() for k in range(0, 640, 64)]
    wrong: list[Exception] = []
    answered = [0] * 3
    done = threading.Event()

    def work(number: int) -> None:
        turn = number
        try:
            while not done.is_set():
                turn = (turn + 1) % 10
                try:
                    found = predict(adapter, digits, PIXELS[turn * 64 : turn * 64 + 64])
                except (BackendUnreachableError, NotDeployedError):
                    # The latter since it takes requests before it has loaded its models.
                    continue
                assert found.ravel().tolist() == expected[turn]
                answered[number] += 1
        except Exception as error:  # noqa: BLE001 (a thread's error fails the test below)
            wrong.append(error)

    def wait_for(more: int) -> None:
        wanted = sum(answered) + more
        deadline = time.monotonic() + PATIENCE
        while sum(answered) < wanted and not wrong and time.monotonic() < deadline:
            done.wait(0.01)
        assert wrong == []
        assert sum(answered) >= wanted

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    try:
        for thread in threads:
            thread.start()
        wait_for(30)
        server.kill()
        server.start()
        wait_for(30)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert ("digits", digits) in adapter.deployments(), "it loads what it finds when it starts"


class Hub:
    """A hub with MLServer as a backend beside its own; API and workers as processes."""

    def __init__(self, environment: dict[str, str], url: str, folder: Path) -> None:
        self.url = url
        self._log = folder / "hub.log"
        commands = (
            ("api",),
            ("worker", "--backend", "mlserver", "--kind", "predict"),
            ("worker", "--backend", "mlserver", "--kind", "jobs"),
        )
        self._processes: list[subprocess.Popen[bytes]] = []
        with self._log.open("ab") as log:
            for command in commands:
                self._processes.append(
                    subprocess.Popen(
                        (sys.executable, "-m", "mlhub", *command),
                        env=os.environ | environment,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )

    def wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._is_ready():
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/health/ready", timeout=10).ok
        except requests.RequestException:
            return False

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return requests.request(method, self.url + path, timeout=PATIENCE, **options)

    def upload(self, name: str, content: bytes) -> requests.Response:
        headers = {"Content-Type": "application/gzip", "Prefer": "wait=120"}
        return self.call("POST", f"/model/{name}/upload", data=content, headers=headers)

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(PATIENCE)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


@pytest.fixture(scope="module")
def mlserver_hub(
    tmp_path_factory: pytest.TempPathFactory, broker: Any, database_server: Any, server: MLServer
) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("mlserver-hub")
    port = free_ports(("api",), {})["api"]
    backends = {
        # Nobody works for this one; it is there to be the default.
        "sklearn": {"types": ["ScikitLearn"], "addresses": ["http://127.0.0.1:9"]},
        "mlserver": {
            "protocol": "mlserver",
            "addresses": [server.address],
            "repository": str(server.repository),
            "allow_pickles": True,
        },
    }
    environment = {
        "MLHUB_BROKER_URL": broker.url,
        "MLHUB_MONGODB_URL": database_server.url,
        "MLHUB_DATABASE": "mlserver",
        "MLHUB_BUNDLES": str(folder / "bundles"),
        "MLHUB_RUN_DIR": str(folder),
        "MLHUB_PORT": str(port),
        "MLHUB_BACKENDS": msgspec.json.encode(backends).decode(),
    }
    hub = Hub(environment, f"http://127.0.0.1:{port}", folder)
    try:
        hub.wait()
        yield hub
    finally:
        hub.stop()


def packed(files: Path) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        archive.add(files, "digits")
    return target.getvalue()


def test_the_hub_gives_the_numbers_of_mlserver(mlserver_hub: Hub, files: Path, server: MLServer) -> None:
    created = mlserver_hub.call("POST", "/model/numbers", json={"type": "scikitlearn", "backend": "mlserver"})
    assert (created.status_code, created.json()["backend"]) == (201, "mlserver")
    uploaded = mlserver_hub.upload("numbers", packed(files))
    assert uploaded.status_code == 201, uploaded.text
    answer = mlserver_hub.call("POST", "/model/numbers/predict", json={"input": PIXELS[:100].tolist()})
    assert answer.status_code == 200, answer.text
    assert np.ravel(answer.json()["output"]).tolist() == server.direct("numbers", PIXELS[:100])
    wrong = mlserver_hub.call("POST", "/model/numbers/predict", json={"input": PIXELS[0, :9].tolist()})
    assert wrong.status_code == 422
    assert mlserver_hub.call("DELETE", "/model/numbers").status_code == 204


def test_a_models_backend_is_chosen_by_name_and_changed_for_later_uploads(
    mlserver_hub: Hub, files: Path
) -> None:
    unknown = mlserver_hub.call("POST", "/model/chosen", json={"type": "ScikitLearn", "backend": "odd"})
    assert unknown.status_code == 422
    assert "sklearn, mlserver" in unknown.json()["detail"]
    created = mlserver_hub.call("POST", "/model/chosen", json={"type": "ScikitLearn"})
    assert created.json()["backend"] == "sklearn"
    assert mlserver_hub.call("PUT", "/model/chosen", json={"backend": "odd"}).status_code == 422
    changed = mlserver_hub.call("PUT", "/model/chosen", json={"backend": "mlserver"})
    assert (changed.status_code, changed.json()["backend"]) == (200, "mlserver")
    uploaded = mlserver_hub.upload("chosen", packed(files))
    assert uploaded.status_code == 201, uploaded.text
    answer = mlserver_hub.call("POST", "/model/chosen/predict", json={"input": PIXELS[0].tolist()})
    assert answer.status_code == 200, answer.text
