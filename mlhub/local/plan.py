"""The plan of an instance: which programs make up the hub, and what each is told."""

import sys
from pathlib import Path
from typing import Final

import msgspec

from mlhub.common.backend import BackendSettings
from mlhub.common.pool import PoolKind
from mlhub.common.settings import Settings
from mlhub.local.database import EmbeddedDatabase
from mlhub.local.errors import MissingError
from mlhub.local.frameworks import chosen
from mlhub.local.instance import MARK, Instance
from mlhub.local.program import Plan, Program
from mlhub.local.rabbitmq import PORTS, BrokerPorts, RabbitNode
from mlhub.scaling.names import program_name
from mlhub.workers.flower import check_flower

_WORKER_PATIENCE: Final = 35.0
"""Seconds that a worker has for the calls it is in, each of them bounded by the backend's own timeout."""


_FLOWER: Final = "flower"


def make_plan(instance: Instance, settings: Settings) -> Plan:
    """Decide what to start, with private servers in place of those that the settings do not name.

    Raises:
        MissingError: something that is needed is not installed.
        SettingsError: Flower is wanted, and is not installed.
        UnacceptableError: the settings name a framework that does not exist or is not installed.
    """
    backends = dict(settings.backends) if "backends" in settings.model_fields_set else {}
    served = {model_type for backend in backends.values() for model_type in backend.types}
    own = {
        name: model_type
        for name, model_type in chosen(settings.frameworks).items()
        if name not in backends and model_type not in served
    }
    if not own and not backends:
        raise MissingError(
            "No framework is installed that the hub could serve; install one: pip install 'mlhub[sklearn]', "
            "or another of mlhub[pytorch], mlhub[keras], mlhub[tensorflow]."
        )
    flower = [_FLOWER] if settings.flower else []
    ports = instance.choose_ports([*PORTS, "database", *map(server_name, own), *flower])
    backends |= {
        name: BackendSettings(
            addresses=(f"http://127.0.0.1:{ports[server_name(name)]}",),
            types=(model_type,),
            repository=instance.models,
        )
        for name, model_type in own.items()
    }
    table = {name: backend.model_dump(mode="json") for name, backend in backends.items()}
    environment = {
        MARK: str(instance.folder),
        "MLHUB_HOST": settings.host,
        "MLHUB_PORT": str(settings.port),
        "MLHUB_RUN_DIR": str(instance.socket_folder()),
        "MLHUB_SCALER": "circus",
        "MLHUB_BACKENDS": msgspec.json.encode(table).decode(),
    }
    if "bundles" not in settings.model_fields_set:
        environment["MLHUB_BUNDLES"] = str(instance.bundles)
    programs: list[Program] = []
    management_url = None
    if "broker_url" not in settings.model_fields_set:
        node = RabbitNode(instance.broker, BrokerPorts(**{name: ports[name] for name in PORTS}))
        programs += node.programs()
        environment["MLHUB_BROKER_URL"] = node.url
        environment["MLHUB_MANAGEMENT_URL"] = node.management_url
        management_url = node.management_url
    if "mongodb_url" not in settings.model_fields_set:
        database = EmbeddedDatabase(instance.database, ports["database"])
        programs.append(database.program())
        environment["MLHUB_MONGODB_URL"] = database.url
    for name in own:
        processes = settings.pool(backends[name], PoolKind.SERVERS).minimum
        programs.append(_server(name, ports[server_name(name)], instance.models, processes))
    for name, backend in backends.items():
        programs += [
            _pool(name, kind, settings.pool(backend, kind).minimum)
            for kind in (PoolKind.PREDICT, PoolKind.JOBS)
        ]
    programs.append(Program(name="api", arguments=_mlhub("api"), tier=0, patience=_WORKER_PATIENCE))
    programs.append(Program(name="scaler", arguments=_mlhub("scaler"), tier=0))
    if settings.flower:
        check_flower()
        environment["MLHUB_FLOWER_URL"] = f"http://127.0.0.1:{ports[_FLOWER]}"
        programs.append(
            Program(name=_FLOWER, arguments=_mlhub("flower", "--port", str(ports[_FLOWER])), tier=0)
        )
    return Plan(
        programs=tuple(programs),
        environment=environment,
        host=settings.host,
        port=settings.port,
        management_url=management_url,
        samples="sklearn" in own,
    )


def server_name(framework: str) -> str:
    """Name the model server of a framework."""
    return program_name(framework, PoolKind.SERVERS)


def _server(name: str, port: int, repository: Path, processes: int) -> Program:
    where = ("--port", str(port), "--repository", str(repository))
    arguments = _mlhub("serve", name, *where, "--processes", str(max(processes, 1)))
    return Program(name=server_name(name), arguments=arguments, tier=2)


def _pool(backend: str, kind: PoolKind, processes: int) -> Program:
    return Program(
        name=program_name(backend, kind),
        arguments=_mlhub("worker", "--backend", backend, "--kind", kind.value),
        tier=1,
        patience=_WORKER_PATIENCE,
        # circus gives up a program that begins with none; the scaler has the one end that is too many.
        processes=max(processes, 1),
    )


def _mlhub(*arguments: str) -> tuple[str, ...]:
    # -P: a folder called mlhub where the user stands must not take the package's place.
    return (sys.executable, "-P", "-m", "mlhub", *arguments)
