"""The watcher, on small programs of the tests."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from mlhub.common.pool import PoolKind
from mlhub.local import processes
from mlhub.local.instance import MARK, Instance, write
from mlhub.local.program import Failure, Plan, Program
from mlhub.scaling.circus import CircusScaler
from mlhub.scaling.scaler import ScalerError

SLEEPER = "import time; print('here', flush=True); time.sleep(600)"
LEAVER = """
import signal, sys, time
from pathlib import Path
def leave(*_):
    with Path(sys.argv[1]).open("a") as file:
        file.write(sys.argv[2] + "\\n")
    sys.exit()
signal.signal(signal.SIGTERM, leave)
print("here", flush=True)
time.sleep(600)
"""
PATIENT = """
import os, signal, sys, time
def leave(*_):
    print("told", flush=True)
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.05)
    sys.exit()
signal.signal(signal.SIGTERM, leave)
print("here", flush=True)
time.sleep(600)
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(600)"

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    instance = Instance(tmp_path)
    instance.prepare()
    return instance


@pytest.fixture
def start(instance: Instance) -> Iterator[Start]:
    """Starts the watcher on programs."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*programs: Program, environment: dict[str, str] | None = None) -> "subprocess.Popen[bytes]":
        mark = {MARK: str(instance.folder)}
        plan = Plan(programs=programs, environment=mark | (environment or {}), host="127.0.0.1", port=1)
        write(instance.plan, msgspec.json.encode(plan))
        with (instance.logs / "watcher.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", processes.WATCHER, str(instance.folder)],
                env=os.environ | mark,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield start
    processes.stop(instance.folder, patience=20)
    for process in started:
        process.wait(60)


def program(name: str, script: str, *arguments: str, tier: int = 0, patience: float = 60.0) -> Program:
    command = (sys.executable, "-c", script, *arguments)
    return Program(name=name, arguments=command, tier=tier, patience=patience)


def wait_for(what: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def log(instance: Instance, name: str) -> str:
    path = instance.logs / f"{name}.log"
    return path.read_text() if path.exists() else ""


def failures(instance: Instance) -> dict[str, Failure]:
    return msgspec.json.decode(instance.failures.read_bytes(), type=dict[str, Failure])


def find(instance: Instance, script: str) -> list[psutil.Process]:
    found = processes.find(instance.folder)
    return [process for process in found if script in processes.command_line(process)]


def test_output_and_errors_of_a_program_are_in_its_log(instance: Instance, start: Start) -> None:
    start(
        program("both", "import sys, time; print(1, flush=True); print(2, file=sys.stderr); time.sleep(600)")
    )
    wait_for(lambda: sorted(log(instance, "both").split()) == ["1", "2"])


def test_programs_get_the_variables_of_the_plan_and_their_own(instance: Instance, start: Start) -> None:
    script = "import os, time; print(os.environ['A'], os.environ['B'], flush=True); time.sleep(600)"
    plain = program("plain", script)
    start(msgspec.structs.replace(plain, environment={"B": "own $WID {x}"}), environment={"A": "1", "B": "2"})
    wait_for(lambda: log(instance, "plain") == "1 own $WID {x}\n")


def test_arguments_arrive_as_they_are(instance: Instance, start: Start) -> None:
    odd = ("a b", "'", '"', "$WID", "$(circus.wid)", "{y}", "ü", "")
    start(program("odd", "import sys, time; print(sys.argv[1:], flush=True); time.sleep(600)", *odd))
    wait_for(lambda: log(instance, "odd") == f"{list(odd)}\n")


def test_a_program_that_was_killed_is_started_again(instance: Instance, start: Start) -> None:
    start(program("sleeper", SLEEPER))
    wait_for(lambda: "here" in log(instance, "sleeper"))
    (first,) = find(instance, SLEEPER)
    first.kill()
    wait_for(lambda: log(instance, "sleeper").count("here") == 2)
    assert failures(instance) == {"sleeper": Failure(1, -signal.SIGKILL)}
    (second,) = find(instance, SLEEPER)
    assert second.pid != first.pid


def test_a_program_that_ends_at_its_start_is_tried_again_after_growing_pauses(
    instance: Instance, start: Start
) -> None:
    start(program("failing", "import sys, time; print(time.time(), flush=True); sys.exit(3)"))
    wait_for(lambda: log(instance, "failing").count("\n") == 4)
    times = [float(line) for line in log(instance, "failing").split()]
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses[1] >= 1
    assert pauses[2] >= 2
    assert failures(instance)["failing"].status == 3


def test_programs_stop_in_the_order_of_their_tiers(instance: Instance, start: Start, tmp_path: Path) -> None:
    order = str(tmp_path / "order")
    tiers = {"broker": 2, "api": 0, "worker": 1}
    process = start(*(program(name, LEAVER, order, name, tier=tier) for name, tier in tiers.items()))
    wait_for(lambda: all("here" in log(instance, name) for name in tiers))
    process.terminate()
    assert process.wait(60) == 0
    assert Path(order).read_text().split() == ["api", "worker", "broker"]
    assert processes.find(instance.folder) == []


def test_a_program_that_does_not_want_to_end_is_killed(instance: Instance, start: Start) -> None:
    process = start(program("stubborn", STUBBORN, patience=0.5))
    wait_for(lambda: "here" in log(instance, "stubborn"))
    process.terminate()
    process.wait(60)
    assert processes.find(instance.folder) == []


def test_programs_left_by_a_killed_watcher_are_found_and_ended(instance: Instance, start: Start) -> None:
    process = start(program("sleeper", SLEEPER), program("other", SLEEPER, "x"))
    wait_for(lambda: "here" in log(instance, "sleeper") and "here" in log(instance, "other"))
    process.kill()
    process.wait()
    assert processes.find_watcher(instance.folder) is None
    assert len(processes.find(instance.folder)) == 2
    assert processes.stop(instance.folder, patience=5)
    assert processes.find(instance.folder) == []
    assert not processes.stop(instance.folder, patience=5)


@pytest.fixture
def scaler(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> Iterator[CircusScaler]:
    monkeypatch.setattr("mlhub.scaling.circus._TIMEOUT", 60.0)
    scaler = CircusScaler(instance.socket_folder())
    yield scaler
    scaler.close()


def test_a_pool_grows_and_shrinks_while_others_are_looked_after(
    instance: Instance, start: Start, scaler: CircusScaler, tmp_path: Path
) -> None:
    free = tmp_path / "free"
    pool = program("predict-own", PATIENT, str(free), patience=60.0)
    start(pool, program("other", SLEEPER))
    wait_for(lambda: "here" in log(instance, "predict-own") and "here" in log(instance, "other"))
    (first,) = find(instance, PATIENT)

    assert scaler.keep("own", PoolKind.PREDICT, 3) == 1
    wait_for(lambda: log(instance, "predict-own").count("here") == 3)
    assert scaler.keep("own", PoolKind.PREDICT, 3) == 3

    scaler.keep("own", PoolKind.PREDICT, 1)
    wait_for(lambda: log(instance, "predict-own").count("told") == 2)
    assert scaler.keep("own", PoolKind.PREDICT, 1) == 3, "those that end are there until they have ended"
    find(instance, SLEEPER)[0].kill()
    wait_for(lambda: log(instance, "other").count("here") == 2)
    assert len(find(instance, PATIENT)) == 3, "the other one did not wait for them"

    scaler.keep("own", PoolKind.PREDICT, 2)
    wait_for(lambda: log(instance, "predict-own").count("here") == 4)
    assert scaler.keep("own", PoolKind.PREDICT, 2) == 4
    assert first.is_running(), "the oldest one stays"
    free.touch()
    wait_for(lambda: scaler.keep("own", PoolKind.PREDICT, 2) == 2)
    assert set(failures(instance)) == {"other"}, "an end that was asked for is no failure"


def test_a_pool_that_circus_does_not_know_is_none(
    instance: Instance, start: Start, scaler: CircusScaler
) -> None:
    start(program("predict-own", SLEEPER))
    wait_for(lambda: "here" in log(instance, "predict-own"))
    assert scaler.keep("own", PoolKind.JOBS, 2) is None
    assert scaler.keep("own", PoolKind.PREDICT, 1) == 1


def test_a_watcher_that_is_gone_is_said(
    instance: Instance, scaler: CircusScaler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlhub.scaling.circus._TIMEOUT", 0.2)
    with pytest.raises(
        ScalerError, match="circus, which runs the processes of this machine, does not answer"
    ):
        scaler.keep("own", PoolKind.PREDICT, 2)


def test_another_instance_is_left_alone(instance: Instance, start: Start) -> None:
    start(program("sleeper", SLEEPER))
    wait_for(lambda: "here" in log(instance, "sleeper"))
    assert processes.find(instance.folder.parent) == []
    processes.stop(instance.folder.parent, patience=1)
    assert len(processes.find(instance.folder)) == 2


def test_a_program_that_is_not_there_keeps_no_other_from_running(instance: Instance, start: Start) -> None:
    nowhere = Program(name="nowhere", arguments=("/nonexistent/program",), tier=0)
    start(nowhere, program("sleeper", SLEEPER))
    wait_for(lambda: "here" in log(instance, "sleeper"))
