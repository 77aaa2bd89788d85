"""What happens to the hub, and what its clients may notice of it."""

import resource
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
import psutil

from tests.chaos.scene import Scene

AWAY: Final = frozenset({503, 504})
"""What may be answered while broker or database is gone, always with `Retry-After`."""
_FILE_SIZE: Final = 1024 * 1024
"""Bytes of a file at which the disk is full."""


class Fault(msgspec.Struct, frozen=True):
    """One thing that goes wrong, and is put right again."""

    name: str
    begin: Callable[[Scene], None]
    end: Callable[[Scene], None]
    """Puts it right; when it returns, nothing is missing any more."""
    seconds: float
    """How long it lasts."""
    allowed: frozenset[int] = frozenset()
    """Statuses of failed calls."""
    breaks: bool = False
    """Whether connections to the hub may break."""
    only: frozenset[str] | None = None
    """Kinds of call that may fail; all, if not given."""


def kill(name: str, seconds: float, **notice: object) -> Fault:
    """Kill a part of the hub as a machine that dies would, and start it again a moment later."""

    def begin(scene: Scene) -> None:
        scene.hub.parts[name].stop(signal.SIGKILL)

    def end(scene: Scene) -> None:
        scene.hub.parts[name].start()
        if name == "server":
            scene.hub.wait_until(scene.answers, "an answer of the model server")

    return Fault(f"kill -9 {name}", begin, end, seconds, **notice)  # type: ignore[arg-type]


def kill_server(name: str, seconds: float, **notice: object) -> Fault:
    """Kill broker or database; nothing of the hub is started again."""
    return Fault(
        f"kill -9 {name}",
        lambda scene: getattr(scene, name).kill(),
        lambda scene: getattr(scene, name).start(),
        seconds,
        **notice,  # type: ignore[arg-type]
    )


def stop(name: str, seconds: float, **notice: object) -> Fault:
    """Stop a part's process in the middle of whatever it does, and let it go on later."""
    stopped: list[psutil.Process] = []

    def begin(scene: Scene) -> None:
        process = scene.process(name)
        stopped[:] = [process]
        process.suspend()

    def end(_: Scene) -> None:
        # One that was replaced meanwhile need not go on.
        with suppress(psutil.NoSuchProcess):
            stopped[0].resume()

    return Fault(f"SIGSTOP {name}", begin, end, seconds, **notice)  # type: ignore[arg-type]


def full(name: str, begin: Callable[[Scene], None], end: Callable[[Scene], None]) -> Fault:
    """Have no room for what is uploaded; all else goes on."""
    return Fault(name, begin, end, 3.0, allowed=frozenset({503}), only=frozenset({"upload", "bulk"}))


def _kill_api_process(scene: Scene) -> None:
    scene.process("api").kill()


def _kill_all(scene: Scene) -> None:
    for part in scene.hub.parts.values():
        part.stop(signal.SIGKILL)
    scene.broker.kill()
    scene.database.kill()


def _start_all(scene: Scene) -> None:
    scene.database.start()
    scene.broker.start()
    for part in scene.hub.parts.values():
        part.start()
    scene.hub.wait_until_ready()


def _limit(scene: Scene) -> None:
    """Let the API write no file that is larger, so that its store behaves as on a full disk."""
    for process in scene.api():
        hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (_FILE_SIZE, hard))


def _unlimit(scene: Scene) -> None:
    for process in scene.api():
        # One that was replaced meanwhile has no such limit.
        with suppress(ProcessLookupError):
            hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))


def _cut(scene: Scene) -> None:
    for wire in scene.wires:
        wire.cut()


def _mend(scene: Scene) -> None:
    for wire in scene.wires:
        wire.mend()


def _unplug(scene: Scene) -> None:
    assert scene.host is not None
    scene.host.unplug()


def _plug(scene: Scene) -> None:
    assert scene.host is not None
    scene.host.plug()


def _nothing(_: Scene) -> None:
    """Leave it to the hub."""


FAULTS: Final = (
    kill("predict", 1.0),
    kill("jobs", 1.0),
    kill("server", 1.0, allowed=AWAY | {502}),
    Fault("kill -9 an API process", _kill_api_process, _nothing, 0.5, breaks=True),
    kill_server("broker", 1.0, allowed=AWAY),
    kill_server("database", 1.0, allowed=AWAY),
    Fault("kill -9 the whole hub", _kill_all, _start_all, 0.5, allowed=AWAY | {502}, breaks=True),
    stop("predict", 2.0),
    stop("jobs", 2.0),
    stop("server", 2.0, allowed=AWAY | {502}),
    stop("api", 2.0),
    stop("broker", 2.0, allowed=AWAY),
    stop("database", 2.0, allowed=AWAY),
    full("disk full", _limit, _unlimit),
    Fault("network cut", _cut, _mend, 3.0, allowed=AWAY),
)
"""Each part in turn."""

LONGER: Final = (
    stop("broker", 12.0, allowed=AWAY),
    stop("database", 12.0, allowed=AWAY),
    stop("server", 12.0, allowed=AWAY | {502}),
    kill_server("broker", 12.0, allowed=AWAY),
    kill_server("database", 12.0, allowed=AWAY),
    Fault("network cut", _cut, _mend, 15.0, allowed=AWAY),
)
"""What lasts longer than the hub's patience."""

BETWEEN_HOSTS: Final = (
    Fault("host unplugged", _unplug, _plug, 3.0, allowed=AWAY),
    Fault("host unplugged for long", _unplug, _plug, 15.0, allowed=AWAY),
)
"""What happens to the link to another host."""


class Round(msgspec.Struct, frozen=True):
    """A fault as it went."""

    fault: Fault
    began: float
    ended: float
    """When it was put right."""
    over: float
    """When the clients had noticed nothing for a while."""
    recovery: float | None
    """Seconds from then until all was well; nothing when that did not come."""


KINDS: Final = ("predict", "submit", "read")
"""Calls that have to work again when all is well."""


def play(scene: Scene, fault: Fault, until_well: Callable[[float], float | None]) -> Round:
    """Let a fault happen."""
    began = time.monotonic()
    fault.begin(scene)
    try:
        time.sleep(fault.seconds)
    finally:
        fault.end(scene)
    ended = time.monotonic()
    recovery = until_well(ended)
    return Round(fault, began, ended, time.monotonic(), recovery)
