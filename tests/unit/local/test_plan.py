"""Which programs are started, and what they are told."""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlhub.common.backend import BackendSettings
from mlhub.common.errors import UnacceptableError
from mlhub.common.model import ModelType
from mlhub.common.settings import FRAMEWORK_TYPES, Settings
from mlhub.local import rabbitmq
from mlhub.local.errors import MissingError
from mlhub.local.instance import MARK, Instance
from mlhub.local.plan import make_plan
from mlhub.local.program import Plan
from mlhub.servers.frameworks import FRAMEWORKS

OTHERS = BackendSettings(addresses=("http://models.example:8000",), types=(ModelType.KERAS,))


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BROKER_URL", "MONGODB_URL", "BACKENDS", "BUNDLES", "CONFIG", "TOKEN"):
        monkeypatch.delenv(f"MLHUB_{name}", raising=False)


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    instance = Instance(tmp_path / "hub")
    instance.prepare()
    return instance


def names(made: Plan) -> set[str]:
    return {program.name for program in made.programs}


def backends(made: Plan) -> dict[str, Any]:
    table: dict[str, Any] = msgspec.json.decode(made.environment["MLHUB_BACKENDS"])
    return table


def test_one_machine_gets_every_part(instance: Instance) -> None:
    made = make_plan(instance, Settings(port=9000))
    own = {"epmd", "rabbitmq", "database", "server-sklearn"}
    assert names(made) == own | {"predict-sklearn", "jobs-sklearn", "api", "scaler"}
    assert made.environment[MARK] == str(instance.folder)
    assert made.environment["MLHUB_PORT"] == "9000"
    assert made.environment["MLHUB_BUNDLES"] == str(instance.bundles)
    assert made.url == "http://127.0.0.1:9000"
    assert made.samples


def test_the_backend_points_to_the_server_of_the_plan(instance: Instance) -> None:
    made = make_plan(instance, Settings())
    server = next(program for program in made.programs if program.name == "server-sklearn")
    port = server.arguments[server.arguments.index("--port") + 1]
    assert backends(made)["sklearn"]["addresses"] == [f"http://127.0.0.1:{port}"]
    assert backends(made)["sklearn"]["repository"] == str(instance.models)


def test_the_api_stops_before_the_workers_and_these_before_the_servers(instance: Instance) -> None:
    tiers = {program.name: program.tier for program in make_plan(instance, Settings()).programs}
    assert tiers["api"] < tiers["predict-sklearn"] == tiers["jobs-sklearn"] < tiers["server-sklearn"]
    assert tiers["jobs-sklearn"] < tiers["database"]
    assert tiers["predict-sklearn"] < tiers["rabbitmq"] < tiers["epmd"]


def test_a_broker_that_is_named_is_used_instead_of_a_private_one(instance: Instance) -> None:
    made = make_plan(instance, Settings(broker_url="amqp://broker.example//"))
    assert not {"epmd", "rabbitmq"} & names(made)
    assert "MLHUB_BROKER_URL" not in made.environment
    assert made.management_url is None


def test_a_database_that_is_named_is_used_instead_of_a_private_one(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLHUB_MONGODB_URL", "mongodb://database.example/")
    made = make_plan(instance, Settings())
    assert "database" not in names(made)
    assert "MLHUB_MONGODB_URL" not in made.environment


def test_a_bundle_store_that_is_named_is_used(instance: Instance, tmp_path: Path) -> None:
    made = make_plan(instance, Settings(bundles=str(tmp_path / "elsewhere")))
    assert "MLHUB_BUNDLES" not in made.environment


def test_backends_that_are_named_come_on_top_and_get_pools(instance: Instance) -> None:
    made = make_plan(instance, Settings(backends={"keras": OTHERS}))
    assert {"predict-keras", "jobs-keras", "server-sklearn", "predict-sklearn"} <= names(made)
    assert "server-keras" not in names(made)
    assert list(backends(made)) == ["keras", "sklearn"]
    assert backends(made)["keras"]["addresses"] == ["http://models.example:8000"]


def test_a_named_backend_that_serves_the_type_replaces_the_private_server(instance: Instance) -> None:
    mine = OTHERS.model_copy(update={"types": (ModelType.SKLEARN,)})
    made = make_plan(instance, Settings(backends={"mine": mine}))
    assert "server-sklearn" not in names(made)
    assert {"predict-mine", "jobs-mine"} <= names(made)
    assert not made.samples


def test_a_token_is_not_written_into_the_plan(instance: Instance) -> None:
    made = make_plan(instance, Settings(token="hush"))
    assert b"hush" not in msgspec.json.encode(made)


def test_addresses_of_all_interfaces_are_reached_through_loopback(instance: Instance) -> None:
    assert make_plan(instance, Settings(host="0.0.0.0", port=1)).url == "http://127.0.0.1:1"  # noqa: S104
    assert make_plan(instance, Settings(host="::1", port=1)).url == "http://[::1]:1"


def test_a_missing_rabbitmq_is_named_with_what_installs_it(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq, "_HOMES", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MissingError, match=r"RabbitMQ is not installed.*apt-get install rabbitmq-server"):
        make_plan(instance, Settings())


def test_a_missing_database_is_named_with_what_installs_it(
    instance: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bin"
    path.mkdir()
    (path / "epmd").symlink_to(str(shutil.which("epmd")))
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setattr("sys.executable", str(path / "python"))
    with pytest.raises(MissingError, match=r"database is not installed.*pip install 'mlhub\[local\]'"):
        make_plan(instance, Settings())


def test_each_framework_gets_a_server_and_both_pools(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLHUB_FRAMEWORKS")
    made = make_plan(instance, Settings())
    for name in FRAMEWORKS:
        assert {f"server-{name}", f"predict-{name}", f"jobs-{name}"} <= names(made)
        assert backends(made)[name]["types"] == [FRAMEWORK_TYPES[name]]
    assert len({backend["addresses"][0] for backend in backends(made).values()}) == len(FRAMEWORKS)


def test_only_the_frameworks_that_are_named_get_one(instance: Instance) -> None:
    made = make_plan(instance, Settings(frameworks=("pytorch",)))
    assert list(backends(made)) == ["pytorch"]
    assert not made.samples


def test_a_framework_that_is_not_installed_is_named(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UnacceptableError, match=r"pip install 'mlhub\[pytorch\]'"):
        make_plan(instance, Settings(frameworks=("pytorch",)))


def test_frameworks_that_are_all_missing_are_named_with_what_installs_one(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.delenv("MLHUB_FRAMEWORKS")
    with pytest.raises(MissingError, match=r"pip install 'mlhub\[sklearn\]'"):
        make_plan(instance, Settings())
    assert "predict-keras" in names(make_plan(instance, Settings(backends={"keras": OTHERS})))
