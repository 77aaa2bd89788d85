"""The adapter against a real model server, as a process of its own."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from mlhub.common import tensor
from mlhub.common.backend import BackendSettings
from mlhub.common.batch import BatchRequest
from mlhub.common.errors import (
    BackendError,
    BackendRefusedError,
    BackendUnreachableError,
    NotDeployedError,
)
from mlhub.common.signature import ANY, TensorSpec
from mlhub.local.ports import free_ports
from mlhub.workers.adapters import create_adapter
from mlhub.workers.adapters.base import BackendAdapter, SharingAdapter
from mlhub.workers.batch import run_batches

PATIENCE = 150.0
"""Seconds that what a test waits for may take, on a machine with other things to do."""
PIXELS, DIGITS = load_digits(return_X_y=True)


class Server:
    """A model server for scikit-learn; it can be killed and started again on its port."""

    def __init__(self, repository: Path) -> None:
        self.port = free_ports(("server",), {})["server"]
        self.address = f"http://127.0.0.1:{self.port}"
        self._repository = repository
        self._log = repository.parent / f"server-{self.port}.log"
        self.start()

    def start(self) -> None:
        options = ("--port", str(self.port), "--repository", str(self._repository))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "mlhub", "serve", "sklearn", *options),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        adapter = create_adapter(BackendSettings(addresses=(self.address,)))
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return adapter.probe()
            except BackendError:
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < deadline, self._log.read_text()
                time.sleep(0.05)

    def kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "models"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def start(repository: Path) -> Iterator[Callable[[], Server]]:
    servers: list[Server] = []

    def start() -> Server:
        servers.append(Server(repository))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(scope="module")
def server(start: Callable[[], Server]) -> Server:
    """Return a server that tests leave running."""
    return start()


@pytest.fixture(scope="module")
def adapter(server: Server, repository: Path) -> BackendAdapter:
    return create_adapter(BackendSettings(addresses=(server.address,), repository=repository))


@pytest.fixture(scope="module")
def estimator() -> LogisticRegression:
    return LogisticRegression(max_iter=3000).fit(PIXELS[100:], DIGITS[100:])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, estimator: LogisticRegression) -> Path:
    """Return a folder with the files of a model."""
    folder = tmp_path_factory.mktemp("files")
    skops.io.dump(estimator, folder / "model.skops")
    (folder / "notes").mkdir()
    (folder / "notes" / "readme.txt").write_text("read me")
    return folder


@pytest.fixture(scope="module")
def digits(adapter: BackendAdapter, files: Path) -> str:
    """Return a deployment of the model `digits` that tests leave there."""
    adapter.deploy("digits", "1-aaaaaaaa", files)
    return "1-aaaaaaaa"


def predict(
    adapter: BackendAdapter, deployment: str, rows: NDArray[Any], *outputs: str
) -> dict[str, NDArray[Any]]:
    found = adapter.predict("digits", deployment, [tensor.encode("input", rows)], outputs)
    return {item.name: tensor.decode(item) for item in found}


def test_a_deployed_model_predicts_what_the_estimator_does(
    adapter: BackendAdapter, digits: str, estimator: LogisticRegression
) -> None:
    assert adapter.ready("digits", digits)
    rows = PIXELS[:100]
    assert predict(adapter, digits, rows)["predict"].tolist() == estimator.predict(rows).tolist()
    probabilities = predict(adapter, digits, rows, "predict_proba")["predict_proba"]
    np.testing.assert_allclose(probabilities, estimator.predict_proba(rows))


def test_the_signature_is_the_servers(adapter: BackendAdapter, digits: str) -> None:
    signature = adapter.signature("digits", digits)
    assert signature.inputs == (TensorSpec("input", "FP64", (ANY, 64)),)
    assert [spec.name for spec in signature.outputs][:2] == ["predict", "predict_proba"]
    assert signature.batchable


def test_deploying_again_does_no_harm(adapter: BackendAdapter, digits: str, files: Path) -> None:
    adapter.deploy("digits", digits, files)
    assert len(predict(adapter, digits, PIXELS[:3])["predict"]) == 3


@pytest.mark.parametrize("rows", [1, 200, 1797])
def test_batches_of_any_size_come_back_whole(
    rows: int, adapter: BackendAdapter, digits: str, estimator: LogisticRegression
) -> None:
    """Also right after each other on one connection, and larger than what a server reads at once."""
    expected = estimator.predict(PIXELS[:rows]).tolist()
    for _ in range(40):
        assert predict(adapter, digits, PIXELS[:rows])["predict"].tolist() == expected


def test_batches_of_several_models_are_one_call_and_each_is_answered_as_if_alone(
    adapter: BackendAdapter, digits: str, files: Path, estimator: LogisticRegression
) -> None:
    adapter.deploy("twin", "1-ffffffff", files)

    def batch(model: str, deployment: str, rows: NDArray[Any], *outputs: str) -> BatchRequest:
        given = (tensor.encode("input", rows),)
        return BatchRequest(model, deployment, given, (1,) * len(rows), outputs)

    asked = [
        batch("digits", digits, PIXELS[:5]),
        batch("never", "1-dddddddd", PIXELS[:1]),
        batch("twin", "1-ffffffff", PIXELS[:3], "predict_proba"),
        batch("digits", digits, PIXELS[:2, :10]),
        batch("twin", "1-ffffffff", PIXELS[:2], "nonsense"),
    ]
    assert isinstance(adapter, SharingAdapter)
    answers = adapter.predict_together(asked)
    assert answers is not None
    assert [type(answer.error) for answer in answers] == [
        type(None),
        NotDeployedError,
        type(None),
        BackendRefusedError,
        BackendRefusedError,
    ]
    alone = [
        adapter.predict(item.model, item.deployment, item.inputs, item.outputs) for item in asked[::2][:2]
    ]
    assert [answers[0].outputs, answers[2].outputs] == alone
    replies = run_batches(adapter, asked)
    assert [[part.code for part in reply.parts] for reply in replies] == [
        [""],
        ["not_deployed"],
        [""],
        ["backend_refused"] * 2,
        ["backend_refused"] * 2,
    ]
    assert tensor.decode(replies[0].parts[0].outputs[0]).tolist() == estimator.predict(PIXELS[:5]).tolist()
    adapter.undeploy("twin", "1-ffffffff")


def test_versions_stand_side_by_side_and_go_one_by_one(
    adapter: BackendAdapter, digits: str, files: Path, repository: Path
) -> None:
    adapter.deploy("digits", "2-bbbbbbbb", files)
    assert adapter.ready("digits", digits)
    assert adapter.ready("digits", "2-bbbbbbbb")
    adapter.undeploy("digits", "2-bbbbbbbb")
    assert not adapter.ready("digits", "2-bbbbbbbb")
    with pytest.raises(NotDeployedError, match="2-bbbbbbbb"):
        predict(adapter, "2-bbbbbbbb", PIXELS[:1])
    assert adapter.ready("digits", digits)
    assert sorted(path.name for path in (repository / "digits").iterdir()) == [digits]
    adapter.undeploy("digits", "2-bbbbbbbb")


def test_the_last_version_takes_the_models_folder_with_it(
    adapter: BackendAdapter, files: Path, repository: Path
) -> None:
    adapter.deploy("other", "1-cccccccc", files)
    adapter.undeploy("other", "1-cccccccc")
    assert not (repository / "other").exists()


def test_what_was_never_there_is_not_deployed(adapter: BackendAdapter) -> None:
    adapter.undeploy("never", "1-dddddddd")
    assert not adapter.ready("never", "1-dddddddd")
    with pytest.raises(NotDeployedError):
        adapter.signature("never", "1-dddddddd")


def test_a_model_that_cannot_be_loaded_is_refused_with_the_servers_words(
    adapter: BackendAdapter, tmp_path: Path
) -> None:
    (tmp_path / "model.skops").write_bytes(b"no model")
    with pytest.raises(BackendRefusedError, match="cannot be loaded"):
        adapter.deploy("broken", "1-eeeeeeee", tmp_path)
    adapter.undeploy("broken", "1-eeeeeeee")


def test_rows_of_another_width_are_refused_with_the_servers_words(
    adapter: BackendAdapter, digits: str
) -> None:
    with pytest.raises(BackendRefusedError) as caught:
        predict(adapter, digits, PIXELS[:2, :10])
    assert "64" in caught.value.detail


def test_an_unknown_output_is_refused(adapter: BackendAdapter, digits: str) -> None:
    with pytest.raises(BackendRefusedError, match="nonsense"):
        predict(adapter, digits, PIXELS[:2], "nonsense")


def test_a_restarted_server_predicts_again(
    start: Callable[[], Server], adapter: BackendAdapter, digits: str, repository: Path
) -> None:
    server = start()
    own = create_adapter(BackendSettings(addresses=(server.address,), repository=repository))
    expected = predict(adapter, digits, PIXELS[:5])["predict"].tolist()
    assert predict(own, digits, PIXELS[:5])["predict"].tolist() == expected
    server.kill()
    with pytest.raises(BackendUnreachableError):
        predict(own, digits, PIXELS[:5])
    with pytest.raises(BackendUnreachableError, match="is it running"):
        own.probe()
    server.start()
    assert predict(own, digits, PIXELS[:5])["predict"].tolist() == expected


def test_killing_one_of_two_servers_fails_no_prediction(
    start: Callable[[], Server], server: Server, digits: str, repository: Path
) -> None:
    victim = start()
    both = create_adapter(BackendSettings(addresses=(victim.address, server.address), repository=repository))
    expected = predict(both, digits, PIXELS[:50])["predict"].tolist()
    failures: list[Exception] = []
    done = threading.Event()
    counts = [0] * 4

    def work(number: int) -> None:
        try:
            while not done.is_set():
                assert predict(both, digits, PIXELS[:50])["predict"].tolist() == expected
                counts[number] += 1
        except Exception as error:  # noqa: BLE001 (a thread's error fails the test below)
            failures.append(error)

    def wait_for(count: int) -> None:
        wanted = sum(counts) + count
        deadline = time.monotonic() + PATIENCE
        while sum(counts) < wanted and not failures and time.monotonic() < deadline:
            time.sleep(0.01)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    wait_for(100)
    victim.kill()
    wait_for(100)
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(counts)


def test_deployments_are_what_every_server_has(
    start: Callable[[], Server],
    server: Server,
    digits: str,
    repository: Path,
    files: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    one = create_adapter(BackendSettings(addresses=(server.address,), repository=repository))
    assert ("digits", digits) in one.deployments()
    assert ("digits", "3-ffffffff") not in one.deployments()
    one.deploy("digits", "3-ffffffff", files)
    assert ("digits", "3-ffffffff") in one.deployments()
    one.undeploy("digits", "3-ffffffff")
    assert ("digits", "3-ffffffff") not in one.deployments()
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "models"
    elsewhere.mkdir()
    empty = Server(elsewhere)
    try:
        both = create_adapter(BackendSettings(addresses=(server.address, empty.address)))
        assert both.deployments() == frozenset(), "the second server came up empty"
    finally:
        empty.kill()
    assert ("digits", digits) in both.deployments(), "a server that is away is not asked"
    with pytest.raises(BackendUnreachableError):
        create_adapter(BackendSettings(addresses=(empty.address,))).deployments()
