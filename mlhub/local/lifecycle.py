"""Starting and stopping an instance."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import msgspec
import requests

from mlhub.client.records import Part
from mlhub.common.settings import Settings
from mlhub.local import logfile, processes
from mlhub.local.departure import Departure
from mlhub.local.errors import InstanceError, StartError
from mlhub.local.frameworks import chosen
from mlhub.local.instance import MARK, Instance, write
from mlhub.local.plan import make_plan, server_name
from mlhub.local.ports import is_free
from mlhub.local.program import Failure, Plan

_READY: Final = 150.0
"""Seconds that all parts together have to get ready."""
_PAUSE: Final = 0.2
_STOP: Final = 120.0
"""Seconds that the watcher has to end everything in order."""
_API_LOG: Final = "logs/api.log in the data folder says why"
_TAIL: Final = 15
"""Lines of a log that are shown when something fails."""
_FAILURES: Final = 2
"""Ends of one part that mean that the start failed; a single one may be bad luck."""
_SELF: Final = "watcher"
"""Name of the watcher's own log."""

Say = Callable[[str], None]
"""Tells the user what is going on."""


class Started(msgspec.Struct, frozen=True):
    """A running instance."""

    plan: Plan
    fresh: bool
    """Whether it was started now, and did not run already."""
    missing: tuple[str, ...] = ()
    """Frameworks that would have a model server if it were started now."""


def start(instance: Instance, settings: Settings, *, strict: bool, say: Say) -> Started:
    """Start an instance and wait until it is ready, or find that it runs already.

    Args:
        instance: what to start; it must be locked.
        settings: with the address that the API is to listen on.
        strict: whether it is an error that the instance runs on another address.
        say: told what is going on.

    Raises:
        MissingError: something is not installed.
        InstanceError: it runs on another address, or its port is taken.
        StartError: a part did not get ready; the sentence says which, with the end of its log. Then nothing
            is left running.
    """
    if processes.find_watcher(instance.folder) is not None:
        plan = msgspec.json.decode(instance.plan.read_bytes(), type=Plan)
        if strict and (plan.host, plan.port) != (settings.host, settings.port):
            raise InstanceError(
                f"The hub in {instance.folder} runs on {plan.host}:{plan.port} already; "
                f"stop it first: mlhub down --data {instance.folder}"
            )
        _wait_until_ready(instance, plan, settings.token, say)
        return Started(plan, fresh=False, missing=_missing(plan, settings))
    # After a crash, programs may be left without a watcher; the database's folder would be locked by one.
    if processes.stop(instance.folder, _STOP):
        say("ended what an earlier crash had left")
    plan = make_plan(instance, settings)
    if not is_free(settings.host, settings.port):
        raise InstanceError(
            f"Port {settings.port} is taken by another program; choose a free one: mlhub up --port "
            f"{settings.port + 1}, or make up PORT={settings.port + 1}."
        )
    say(f"starting {', '.join(program.name for program in plan.programs)}")
    write(instance.plan, msgspec.json.encode(plan))
    write(instance.failures, b"{}")
    try:
        watcher = _start_watcher(instance)
        _wait_until_ready(instance, plan, settings.token, say, watcher)
    except BaseException:
        stop(instance)
        raise
    return Started(plan, fresh=True)


def stop(instance: Instance, say: Say = lambda _text: None) -> bool:
    """Stop an instance and whatever is left of it, telling what is waited for; tell whether any ran."""
    return processes.stop(instance.folder, _STOP, Departure(instance, say).look)


def _missing(plan: Plan, settings: Settings) -> tuple[str, ...]:
    """Name the frameworks that would get a model server if the hub were started now."""
    if "backends" in settings.model_fields_set:
        return ()
    running = {program.name for program in plan.programs}
    return tuple(name for name in chosen(settings.frameworks) if server_name(name) not in running)


def _start_watcher(instance: Instance) -> "subprocess.Popen[bytes]":
    log = instance.logs / f"{_SELF}.log"
    logfile.rotate(log)
    with log.open("wb") as file:
        return subprocess.Popen(  # noqa: S603 (this program itself)
            [sys.executable, "-P", "-m", processes.WATCHER, str(instance.folder)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=os.environ | {MARK: str(instance.folder)},
            start_new_session=True,
        )


def _wait_until_ready(
    instance: Instance,
    plan: Plan,
    token: str | None,
    say: Say,
    watcher: "subprocess.Popen[bytes] | None" = None,
) -> None:
    """Wait until the API says that all parts are well.

    Raises:
        StartError: it does not, or a part ended; `watcher`, when it was started now, is a part too.
    """
    deadline = time.monotonic() + _READY
    last = ""
    while (problem := _problem(plan, token)) is not None:
        if problem != last:
            say(problem)
            last = problem
        if watcher is not None:
            if watcher.poll() is not None:
                raise StartError(f"The watcher of all parts ended at its start. {_tail(instance, _SELF)}")
            _check_failures(instance)
        if time.monotonic() > deadline:
            raise StartError(
                f"The hub did not get ready in {_READY:g} seconds: {last}. Its logs are in {instance.logs}."
            )
        time.sleep(_PAUSE)


def _check_failures(instance: Instance) -> None:
    failures = msgspec.json.decode(instance.failures.read_bytes(), type=dict[str, Failure])
    for name, failure in failures.items():
        if failure.count >= _FAILURES:
            raise StartError(f"{name} ended at its start, with {failure.status}. {_tail(instance, name)}")


def _problem(plan: Plan, token: str | None) -> str | None:
    """Return what keeps the hub from being ready, with all of its own model servers; nothing when it is."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        ready = requests.get(f"{plan.url}/health/ready", timeout=5)
        status = requests.get(f"{plan.url}/status", timeout=5, headers=headers)
    except requests.RequestException:
        return "waiting for the API"
    try:
        if not ready.ok:
            return f"waiting: {str(ready.json()['detail']).rstrip('.')}"
        if status.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            # The hub runs with a token that is not known here, and is ready.
            return None
        if not status.ok:
            return f"waiting: {plan.url}/status answers {status.status_code}; {_API_LOG}"
        parts = msgspec.convert(status.json()["backends"], list[Part])
    except (ValueError, KeyError, TypeError, msgspec.ValidationError):
        return f"something else answers at {plan.url}"
    own = {program.name for program in plan.programs}
    away = [part for part in parts if not part.healthy and server_name(part.name) in own]
    return f"waiting: {away[0].name}: {away[0].detail.rstrip('.')}" if away else None


def _tail(instance: Instance, name: str) -> str:
    path = instance.logs / f"{name}.log"
    try:
        lines = path.read_text(errors="replace").splitlines()[-_TAIL:]
    except FileNotFoundError:
        return f"There is no {path}."
    return "\n".join([f"The end of {path}:", *(f"  {line}" for line in lines)])
