"""The scaler of Kubernetes, against a server that speaks the part of its API that matters, as documented.

https://kubernetes.io/docs/reference/using-api/api-concepts/ and the `Scale` of `autoscaling/v1`.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlhub.common.pool import PoolKind
from mlhub.common.settings import SettingsError
from mlhub.scaling.kubernetes import Cluster, KubernetesScaler, inside_cluster
from mlhub.scaling.scaler import ScalerError

PATH = "/apis/apps/v1/namespaces/hubs/deployments/mlhub-{}/scale"


class Api(ThreadingHTTPServer):
    """The `scale` subresource of deployments in the namespace `hubs`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.token = "first"
        self.specs = {PATH.format("predict-sklearn"): 1, PATH.format("server-my-own"): 2}
        self.running = dict(self.specs)
        self.conflict = False
        self.patches: list[tuple[str | None, Any]] = []


class Handler(BaseHTTPRequestHandler):
    server: Api
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self._is_let_in():
            self._answer_scale()

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._is_let_in():
            return
        if self.server.conflict:
            self._answer(
                409,
                {
                    "kind": "Status",
                    "status": "Failure",
                    "reason": "Conflict",
                    "code": 409,
                    "message": "the object has been modified",
                },
            )
            return
        self.server.patches.append((self.headers["Content-Type"], body))
        self.server.specs[self.path] = body["spec"]["replicas"]
        self._answer_scale()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the library's name)
        pass

    def _is_let_in(self) -> bool:
        if self.headers["Authorization"] == f"Bearer {self.server.token}":
            return True
        self._answer(
            401,
            {
                "kind": "Status",
                "status": "Failure",
                "reason": "Unauthorized",
                "code": 401,
                "message": "Unauthorized",
            },
        )
        return False

    def _answer_scale(self) -> None:
        if self.path not in self.server.specs:
            self._answer(404, {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404})
            return
        name = self.path.split("/")[-2]
        # Numbers that are zero are left out, as the cluster does.
        spec, status = (
            {"replicas": count} if count else {}
            for count in (self.server.specs[self.path], self.server.running[self.path])
        )
        self._answer(
            200,
            {
                "kind": "Scale",
                "apiVersion": "autoscaling/v1",
                "metadata": {"name": name, "namespace": "hubs"},
                "spec": spec,
                "status": status,
            },
        )

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("first\n")
    return file


@pytest.fixture
def scaler(api: Api, token: Path) -> Iterator[KubernetesScaler]:
    scaler = KubernetesScaler(Cluster(f"http://127.0.0.1:{api.server_port}", "hubs", token), "mlhub-")
    yield scaler
    scaler.close()


def test_replicas_are_changed_and_those_that_run_are_told(api: Api, scaler: KubernetesScaler) -> None:
    assert scaler.keep("sklearn", PoolKind.PREDICT, 3) == 1
    assert api.patches == [("application/merge-patch+json", {"spec": {"replicas": 3}})]
    api.running[PATH.format("predict-sklearn")] = 3
    assert scaler.keep("sklearn", PoolKind.PREDICT, 3) == 3
    assert len(api.patches) == 1, "what is as it should be is left alone"


def test_none_at_all_is_a_size_too(api: Api, scaler: KubernetesScaler) -> None:
    scaler.keep("sklearn", PoolKind.PREDICT, 0)
    api.running[PATH.format("predict-sklearn")] = 0
    assert scaler.keep("sklearn", PoolKind.PREDICT, 0) == 0
    assert len(api.patches) == 1


def test_a_pool_without_a_deployment_is_none(api: Api, scaler: KubernetesScaler) -> None:
    assert scaler.keep("sklearn", PoolKind.SERVERS, 2) is None
    assert api.patches == []


def test_names_are_made_fit_for_kubernetes(scaler: KubernetesScaler) -> None:
    assert scaler.keep("My_Own", PoolKind.SERVERS, 2) == 2


def test_a_token_that_was_replaced_is_read_anew(api: Api, scaler: KubernetesScaler, token: Path) -> None:
    api.token = "second"
    with pytest.raises(ScalerError, match=r"mlhub-predict-sklearn in hubs: 401, Unauthorized\."):
        scaler.keep("sklearn", PoolKind.PREDICT, 2)
    token.write_text("second")
    assert scaler.keep("sklearn", PoolKind.PREDICT, 2) == 1


def test_a_conflict_is_tried_again_the_next_time(api: Api, scaler: KubernetesScaler) -> None:
    api.conflict = True
    with pytest.raises(ScalerError, match="409, the object has been modified"):
        scaler.keep("sklearn", PoolKind.PREDICT, 2)
    api.conflict = False
    assert scaler.keep("sklearn", PoolKind.PREDICT, 2) == 1
    assert api.specs[PATH.format("predict-sklearn")] == 2


def test_a_cluster_that_is_away_or_none_is_said(api: Api, token: Path, tmp_path: Path) -> None:
    nobody = KubernetesScaler(Cluster("http://127.0.0.1:1", "hubs", token), "mlhub-")
    with pytest.raises(ScalerError, match="does not answer"):
        nobody.keep("sklearn", PoolKind.PREDICT, 2)
    lost = KubernetesScaler(Cluster("http://127.0.0.1:1", "hubs", tmp_path / "gone"), "mlhub-")
    with pytest.raises(ScalerError, match="does not answer"):
        lost.keep("sklearn", PoolKind.PREDICT, 2)


def test_outside_of_a_cluster_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(SettingsError, match="no pod with a service account"):
        inside_cluster()
