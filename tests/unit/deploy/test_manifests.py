"""What `deploy/` says of MLHub is true: every setting and every command in it exists."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
import yaml

from mlhub.__main__ import app
from mlhub.common import topology
from mlhub.common.pool import PoolKind
from mlhub.common.settings import Settings
from mlhub.scaling.names import program_name

DEPLOY = Path(__file__).parents[3] / "deploy"
COMPOSE = DEPLOY / "compose" / "compose.yaml"
KUBERNETES = DEPLOY / "kubernetes"
OTHERS = {"MLHUB_ADDRESS"}
"""Variables of the files themselves, which no process of MLHub gets."""
BACKENDS = ("sklearn", "pytorch")


def texts() -> dict[str, str]:
    files = [path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix not in {".sh", ".json"}]
    return {str(path.relative_to(DEPLOY)): path.read_text() for path in files}


def documents(*folders: str) -> list[dict[str, Any]]:
    """The objects in the folders of Kubernetes, without what Kustomize makes of them."""
    files = [file for folder in folders for file in sorted((KUBERNETES / folder).glob("*.yaml"))]
    found = [document for file in files for document in yaml.safe_load_all(file.read_text())]
    return [document for document in found if document["kind"] not in {"Kustomization", "Component"}]


def containers() -> Iterator[dict[str, Any]]:
    for document in documents("base", "backend", "scaler"):
        if document["kind"] == "Deployment":
            yield from document["spec"]["template"]["spec"]["containers"]


def services() -> dict[str, dict[str, Any]]:
    """The containers of the compose file that run MLHub."""
    found = yaml.safe_load(COMPOSE.read_text())["services"]
    return {name: item for name, item in found.items() if item["image"].startswith("mlhub")}


def commands() -> list[list[str]]:
    given = [item["command"] for item in services().values()]
    for container in containers():
        arguments = [
            argument.replace("$(BACKEND)", "sklearn").replace("$(FRAMEWORK)", "sklearn")
            for argument in container["args"]
        ]
        given.append(arguments)
    unit = (DEPLOY / "systemd" / "mlhub.service").read_text()
    given += [shlex.split(line)[1:] for line in re.findall(r"^Exec\w+=(.*)", unit, re.MULTILINE)]
    return given


def test_every_variable_is_a_setting() -> None:
    known = {f"MLHUB_{name.upper()}" for name in Settings.model_fields} | OTHERS
    unknown = {
        (file, name)
        for file, text in texts().items()
        for name in re.findall(r"\bMLHUB_[A-Z_0-9]+", text)
        if name not in known
    }
    assert unknown == set()


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_every_command_exists_with_its_options(arguments: list[str]) -> None:
    group: Any = typer.main.get_command(app)
    command = group.commands[arguments[0]]
    # Reads the arguments as a call would, and calls nothing.
    context = command.make_context(arguments[0], list(arguments[1:]), resilient_parsing=False)
    assert context.args == []


@pytest.mark.parametrize("where", ["compose", "kubernetes"])
def test_the_backends_are_what_the_settings_take(where: str) -> None:
    if where == "compose":
        text = yaml.safe_load(COMPOSE.read_text())["x-settings"]["MLHUB_BACKENDS"]
    else:
        literals = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["configMapGenerator"][0][
            "literals"
        ]
        text = next(item for item in literals if item.startswith("MLHUB_BACKENDS=")).partition("=")[2]
    settings = Settings.model_validate({"backends": msgspec.json.decode(text)})
    assert tuple(settings.backends) == BACKENDS
    for name, backend in settings.backends.items():
        (address,) = backend.addresses
        assert re.fullmatch(rf"http://(mlhub-)?server-{name}:819[0-9]", address)


def test_each_backend_of_the_compose_file_has_its_pools_and_a_server_where_it_is_looked_for() -> None:
    found = services()
    table = msgspec.json.decode(found["api"]["environment"]["MLHUB_BACKENDS"])
    for name in BACKENDS:
        for kind in PoolKind:
            assert program_name(name, kind) in found
        arguments = found[f"server-{name}"]["command"]
        assert table[name]["addresses"] == [
            f"http://server-{name}:{arguments[arguments.index('--port') + 1]}"
        ]
        assert table[name]["repository"] == arguments[arguments.index("--repository") + 1]


def test_files_that_are_mounted_are_there() -> None:
    found = yaml.safe_load(COMPOSE.read_text())["services"].values()
    mounted = [volume.split(":")[0] for item in found for volume in item.get("volumes", [])]
    files = [COMPOSE.parent / path for path in mounted if path.startswith(".")]
    assert files
    assert [file for file in files if not file.is_file()] == []


def test_only_workers_and_prometheus_are_on_the_network_of_model_servers() -> None:
    found = yaml.safe_load(COMPOSE.read_text())
    assert found["networks"]["servers"] == {"internal": True}
    on_it = {name for name, item in found["services"].items() if "servers" in item["networks"]}
    assert on_it == {"prometheus"} | {program_name(name, kind) for name in BACKENDS for kind in PoolKind}


def test_no_secret_has_a_value() -> None:
    for line in (DEPLOY / "compose" / ".env.example").read_text().splitlines():
        if re.match(r"\w*(TOKEN|PASSWORD)\w*=", line):
            assert line.endswith("=")
    for text in texts().values():
        assert not re.search(r"kind: Secret\b", text)


@pytest.mark.parametrize("container", [*containers()], ids=lambda container: " ".join(container["args"]))
def test_containers_run_without_rights(container: dict[str, Any]) -> None:
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_pods_run_as_the_user_of_the_image() -> None:
    user = re.search(r"^USER (\d+):", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert user is not None
    for document in documents("base", "backend", "scaler"):
        if document["kind"] == "Deployment":
            pod = document["spec"]["template"]["spec"]
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["runAsUser"] == int(user[1])
            assert pod["enableServiceLinks"] is False, "a service's variables would be taken for settings"


def test_the_scaler_may_scale_just_the_pools_that_there_are() -> None:
    (role,) = (document for document in documents("scaler") if document["kind"] == "Role")
    (rule,) = role["rules"]
    assert (rule["resources"], rule["verbs"]) == (["deployments/scale"], ["get", "patch"])
    prefix = Settings.model_fields["kubernetes_prefix"].default
    assert set(rule["resourceNames"]) == {
        f"{prefix}{program_name(name, kind)}" for name in BACKENDS for kind in PoolKind
    }


def test_keda_looks_at_the_queues_that_there_are() -> None:
    pools = {
        document["metadata"]["name"]: document["spec"]
        for document in documents("keda")
        if document["kind"] == "ScaledObject"
    }
    assert set(pools) == {f"{kind}-{name}" for name in BACKENDS for kind in ("predict", "jobs")}
    for name in BACKENDS:
        for kind, queues in (
            ("predict", (topology.predict_queue(name),)),
            ("jobs", topology.job_queues(name)),
        ):
            pool = pools[f"{kind}-{name}"]
            assert pool["scaleTargetRef"] == {"name": f"mlhub-{kind}-{name}"}
            looked_at = [trigger["metadata"]["queueName"] for trigger in pool["triggers"]]
            assert looked_at == [queue.name for queue in queues]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("component", ["scaler", "keda"])
def test_kustomize_makes_whole_objects_of_it(tmp_path: Path, component: str) -> None:
    folder = shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    file = folder / "kustomization.yaml"
    file.write_text(file.read_text().replace("\n  - scaler\n  # - keda\n", f"\n  - {component}\n"))
    made = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=True)  # noqa: S607
    found = list(yaml.safe_load_all(made.stdout))
    names = {(document["kind"], document["metadata"]["name"]) for document in found}
    kinds = {"scaler": "Role", "keda": "ScaledObject"}
    assert any(kind == kinds[component] for kind, _ in names)
    for name in BACKENDS:
        assert {("Deployment", f"mlhub-{program_name(name, kind)}") for kind in PoolKind} <= names
        assert ("Service", f"mlhub-server-{name}") in names
    configs = {name for kind, name in names if kind == "ConfigMap"}
    claims = {name for kind, name in names if kind == "PersistentVolumeClaim"}
    for document in found:
        if document["kind"] != "Deployment":
            continue
        pod = document["spec"]["template"]["spec"]
        for container in pod["containers"]:
            used = [item["configMapRef"]["name"] for item in container.get("envFrom", [])]
            used += [
                item["valueFrom"]["configMapKeyRef"]["name"]
                for item in container["env"]
                if "configMapKeyRef" in item.get("valueFrom", {})
            ]
            assert set(used) <= configs
            assert container["image"].startswith("registry.example/mlhub")
        mounted = [
            item["persistentVolumeClaim"]["claimName"]
            for item in pod["volumes"]
            if "persistentVolumeClaim" in item
        ]
        assert set(mounted) <= claims
