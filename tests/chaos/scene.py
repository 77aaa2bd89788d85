"""A whole hub with two of whatever there may be two of, and all that can happen to it."""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psutil
import requests

from mlhub.local.ports import free_ports
from tests.chaos.host import Host
from tests.chaos.ledger import Ledger
from tests.chaos.load import Load
from tests.chaos.model import Truth
from tests.chaos.wire import Wire
from tests.conftest import Server, running_broker, running_database
from tests.integration.conftest import WEBHOOK_SECRET, Hub, Part
from tests.integration.receiver import Receiver, receiving


class Scene(msgspec.Struct, frozen=True):
    """The hub, what surrounds it, and the load on it."""

    hub: Hub
    broker: Server
    database: Server
    wires: tuple[Wire, ...]
    """Between the hub and these two."""
    receiver: Receiver
    """Of webhooks."""
    ledger: Ledger
    truth: Truth
    load: Load
    host: Host | None = None
    """Where broker and database are, if not here."""

    def process(self, name: str) -> psutil.Process:
        """Return the process of a part that does its work; of the API, one of those."""
        if name in {"broker", "database"}:
            return psutil.Process(getattr(self, name).pid)
        process = psutil.Process(self.hub.parts[name].pid)
        return self.api()[0] if name == "api" else process

    def api(self) -> list[psutil.Process]:
        """Return the processes of the API that serve."""
        return self.hub.api_processes()

    def answers(self) -> bool:
        """Tell whether the model server does."""
        with suppress(requests.RequestException):
            return requests.get(f"{self.hub.server_url}/v2/health/ready", timeout=30).ok
        return False

    def is_well(self) -> bool:
        """Tell whether the hub says of itself that it is ready."""
        with suppress(requests.RequestException):
            return self.hub.is_ready()
        return False


@contextmanager
def playing(folder: Path, store: Path | None = None, host: Host | None = None) -> Iterator[Scene]:
    """Run a hub under load, with a broker and a database that nothing else uses.

    Args:
        folder: for all files.
        store: for bundles, if not there too.
        host: from where broker and database are reached, if not here.
    """
    for name in ("broker", "database", "hub", "hub/models"):
        (folder / name).mkdir()
    with ExitStack() as stack:
        broker = stack.enter_context(running_broker(folder / "broker"))
        database = stack.enter_context(running_database(folder / "database"))
        receiver = stack.enter_context(receiving())
        address = urlsplit(broker.url)
        kept = urlsplit(database.url)
        wires = tuple(
            Wire(place.port or 0, None if host is None else host.listen()) for place in (address, kept)
        )
        for wire in wires:
            stack.callback(wire.stop)
        urls = {
            "MLHUB_BROKER_URL": broker.url.replace(f"127.0.0.1:{address.port}/", f"{wires[0].address}/"),
            "MLHUB_MONGODB_URL": f"mongodb://{wires[1].address}/?{kept.query}",
        }
        hub = _hub(folder / "hub", urls, store or folder / "hub" / "bundles")
        for part in hub.parts.values():
            stack.callback(_end, part)
        for part in hub.parts.values():
            part.start()
        hub.wait_until_ready()
        truth, ledger = Truth(), Ledger()
        hub.publish("truth", truth.bundle)
        assert hub.create("uploads").status_code == 201
        load = Load(hub.url, truth, ledger, f"{receiver.url}/done")
        load.start()
        try:
            yield Scene(hub, broker, database, wires, receiver, ledger, truth, load, host)
        finally:
            # Whatever a test left as it was, all must go on for the clients to end.
            _restore(hub, broker, database, wires)
            if host is not None:
                host.plug()
            load.finish()


def _hub(folder: Path, urls: dict[str, str], store: Path) -> Hub:
    ports = free_ports(("api", "server"), {})
    repository = str(folder / "models")
    backend = {
        "protocol": "oip",
        "addresses": [f"http://127.0.0.1:{ports['server']}"],
        "types": ["ScikitLearn"],
        "repository": repository,
    }
    environment = urls | {
        "MLHUB_BUNDLES": str(store),
        "MLHUB_RUN_DIR": str(folder),
        "MLHUB_PORT": str(ports["api"]),
        "MLHUB_API_PROCESSES": "2",
        "MLHUB_BACKENDS": msgspec.json.encode({"sklearn": backend}).decode(),
        "MLHUB_SWEEP_INTERVAL": "1",
        "MLHUB_RECONCILE_INTERVAL": "1",
        "MLHUB_LEASE": "6",
        "MLHUB_CLAIM": "6",
        "MLHUB_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "MLHUB_WEBHOOK_PRIVATE": "true",
        "MLHUB_WEBHOOK_PAUSE": "0.5",
        "MLHUB_WEBHOOK_TIMEOUT": "5",
    }
    pools = {f"{kind}{number}": kind for kind in ("predict", "jobs") for number in ("", "-2")}
    commands: dict[str, tuple[str, ...]] = {
        "server": ("serve", "sklearn", "--port", str(ports["server"]), "--repository", repository),
        **{name: ("worker", "--backend", "sklearn", "--kind", kind) for name, kind in pools.items()},
        "api": ("api",),
    }
    parts = {name: Part(name, arguments, environment, folder) for name, arguments in commands.items()}
    return Hub(parts, ports["api"], ports["server"], folder)


def _end(part: Part) -> None:
    # No order: a part that waits for others that are gone already would take its time.
    part.stop(signal.SIGKILL)


def _restore(hub: Hub, broker: Server, database: Server, wires: tuple[Wire, ...]) -> None:
    for wire in wires:
        wire.mend()
    for one in (broker, database, *hub.parts.values()):
        # One that does not run need not go on.
        with suppress(AssertionError, psutil.NoSuchProcess):
            process = psutil.Process(one.pid)
            for each in (process, *process.children(recursive=True)):
                each.resume()


def until_well(scene: Scene, since: float, kinds: tuple[str, ...], calm: float, limit: float) -> float | None:
    """Return the seconds after which the hub served fully again, or nothing if it did not within the limit."""
    while time.monotonic() - since < limit:
        settled = scene.ledger.settled(since, kinds, calm)
        if settled is not None and scene.is_well():
            return settled - since
        time.sleep(0.1)
    return None
