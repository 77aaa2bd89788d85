"""The plan of an instance: which programs make up the hub, and what each is told."""

import os
import sys
from typing import Final

import msgspec

from mlhub.common.model import ModelType
from mlhub.common.settings import BackendSettings, SettingsError, load_settings
from mlhub.local.database import EmbeddedDatabase
from mlhub.local.frameworks import installed
from mlhub.local.instance import MARK, Instance, Record
from mlhub.local.program import Program
from mlhub.local.rabbitmq import BrokerPorts, RabbitNode

BROKER: Final = "MLHUB_BROKER_URL"
DATABASE: Final = "MLHUB_MONGODB_URL"
_BACKENDS: Final = "MLHUB_BACKENDS"


class Plan(msgspec.Struct, frozen=True):
    """What to start."""

    programs: tuple[Program, ...]
    environment: dict[str, str]
    """Settings for MLHub's own programs."""
    management_url: str | None
    """RabbitMQ's page, when the instance has a broker of its own."""


def server_name(framework: str) -> str:
    """Name the model server of a framework."""
    return f"server-{framework}"


def make_plan(instance: Instance, record: Record) -> Plan:
    """Decide what to start for an instance, with its own parts for those that no variable names.

    Raises:
        SettingsError: something that is needed is not installed.
    """
    frameworks = installed()
    if not frameworks and not os.environ.get(_BACKENDS):
        raise SettingsError(
            "No framework is installed that the hub could serve; install one: pip install 'mlhub[sklearn]'",
            code="framework_missing",
        )
    programs: list[Program] = []
    environment = _environment(instance, record, frameworks)
    management_url = None
    if not os.environ.get(BROKER):
        ports = record.ports
        node = RabbitNode(
            instance.broker,
            BrokerPorts(ports["amqp"], ports["management"], ports["distribution"], ports["epmd"]),
        )
        programs += node.programs()
        environment[BROKER] = node.url
        management_url = node.management_url
    if not os.environ.get(DATABASE):
        database = EmbeddedDatabase(instance.database, record.ports["database"])
        programs.append(database.program())
        environment[DATABASE] = database.url
    for framework in frameworks:
        programs += _backend(instance, record, framework)
    programs.append(Program(name="api", arguments=_mlhub("api"), tier=0, patience=35.0))
    return Plan(tuple(programs), environment, management_url)


def _backend(instance: Instance, record: Record, name: str) -> list[Program]:
    server = server_name(name)
    port = str(record.ports[server])
    serve = _mlhub("serve", name, "--port", port, "--repository", str(instance.models))
    return [
        Program(name=server, arguments=serve, tier=2),
        Program(name=f"predict-{name}", arguments=_mlhub("worker", "--backend", name), tier=1, patience=35.0),
        Program(
            name=f"jobs-{name}",
            arguments=_mlhub("worker", "--backend", name, "--kind", "jobs"),
            tier=1,
            patience=35.0,
        ),
    ]


def _environment(instance: Instance, record: Record, frameworks: dict[str, ModelType]) -> dict[str, str]:
    environment = {
        MARK: str(instance.folder),
        "MLHUB_HOST": record.host,
        "MLHUB_PORT": str(record.port),
        "MLHUB_BUNDLES": str(instance.bundles),
        "MLHUB_RUN_DIR": str(instance.run),
    }
    backends = dict(load_settings().backends) if os.environ.get(_BACKENDS) else {}
    for framework, model_type in frameworks.items():
        backends.setdefault(
            framework,
            BackendSettings(
                addresses=(f"http://127.0.0.1:{record.ports[server_name(framework)]}",),
                types=(model_type,),
                repository=instance.models,
            ),
        )
    table = {name: backend.model_dump(mode="json") for name, backend in backends.items()}
    environment[_BACKENDS] = msgspec.json.encode(table).decode()
    return environment


def _mlhub(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "mlhub", *arguments)
