"""A hub with a token lets nobody in without it; without one it stays on this machine."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from mlhub.local.ports import free_ports
from tests.integration.conftest import Hub, Part

TOKEN = "a secret of the test"


@pytest.fixture(scope="module")
def closed_hub(tmp_path_factory: pytest.TempPathFactory, broker: Any, database_server: Any) -> Iterator[Hub]:
    """The API of a hub with a token."""
    folder = tmp_path_factory.mktemp("closed")
    port = free_ports(("api",), {})["api"]
    environment = {
        "MLHUB_BROKER_URL": broker.url,
        "MLHUB_MONGODB_URL": database_server.url,
        "MLHUB_DATABASE": "closed",
        "MLHUB_BUNDLES": str(folder / "bundles"),
        "MLHUB_PORT": str(port),
        "MLHUB_TOKEN": TOKEN,
    }
    part = Part("api", ("api",), environment, folder)
    part.start()
    hub = Hub({"api": part}, port, 0, folder)
    try:
        hub.wait_until(lambda: answers(hub), "the API answers")
        yield hub
    finally:
        part.stop()


def answers(hub: Hub) -> bool:
    try:
        return hub.call("GET", "/health/live").ok
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize(
    "path", ["/models", "/status", "/predictions", "/nothing", "/health", "/model/x/predict"]
)
@pytest.mark.parametrize("login", [None, "Bearer wrong", f"Basic {TOKEN}", "Bearer", TOKEN])
def test_nobody_gets_in_without_the_token(closed_hub: Hub, path: str, login: str | None) -> None:
    answer = closed_hub.call("GET", path, headers={} if login is None else {"Authorization": login})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["code"] == "unauthenticated"


def test_the_token_lets_in_and_health_needs_none(closed_hub: Hub) -> None:
    assert closed_hub.call("GET", "/models", headers={"Authorization": f"Bearer {TOKEN}"}).json() == []
    assert closed_hub.call("GET", "/health/live").status_code == 200
    assert TOKEN not in closed_hub.parts["api"].log


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org"])  # noqa: S104 (that it is refused)
def test_listening_for_others_needs_a_token(host: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mlhub", "api", "--host", host]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=60)
    assert run.returncode == 2
    assert "MLHUB_TOKEN" in run.stderr
    assert "Traceback" not in run.stderr
