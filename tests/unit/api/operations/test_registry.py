"""Who lives is known, who is gone is forgotten."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from mlhub.api.operations import registry
from mlhub.api.operations.registry import Registry
from mlhub.common.pulse import Pulse, Vitals

VITALS = Vitals(backend="sklearn", kind="predict", concurrency=4, memory=1000, started=1.7e9)


def run(test: Callable[[Any], Coroutine[Any, Any, None]]) -> Callable[[Any], None]:
    def wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
        asyncio.run(test(monkeypatch))

    return wrapped


def pulse(name: str, kind: str = "worker-heartbeat", **fields: Any) -> bytes:
    return msgspec.json.encode(
        Pulse(type=kind, hostname=name, pid=7, active=2, processed=9, mlhub=VITALS, **fields)
    )


@run
async def test_a_worker_is_known_by_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Registry()
    known.connected()
    known.heard(pulse("predict.sklearn.7.ab@host"))
    (worker,) = known.workers()
    assert (worker.name, worker.host, worker.pid) == ("predict.sklearn.7.ab@host", "host", 7)
    assert (worker.backend, worker.kind, worker.concurrency) == ("sklearn", "predict", 4)
    assert (worker.active, worker.processed, worker.memory) == (2, 9, 1000)


@run
async def test_one_that_says_goodbye_or_falls_silent_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Registry()
    known.heard(pulse("a"))
    known.heard(pulse("b", freq=60))
    known.heard(pulse("a", "worker-offline"))
    assert [worker.name for worker in known.workers()] == ["b"]
    monkeypatch.setattr(registry, "_MISSED", -1)
    assert known.workers() == []


@run
async def test_without_a_broker_nobody_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Registry()
    known.connected()
    known.heard(pulse("a"))
    known.disconnected()
    assert not known.listening
    assert known.workers() == []


@run
async def test_processes_of_the_api_are_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Registry()
    known.heard(pulse("api.1@host", "api-heartbeat"))
    assert known.workers() == []
    assert len(known.pulses()) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"\xff", b"[" * 100_000, b'{"type": "worker-heartbeat"}', "{}", pulse("x")[:-1]],
)
def test_what_is_no_sign_of_life_does_no_harm(body: bytes | str) -> None:
    known = Registry()
    known.heard(body)
    assert not known.listening


@run
async def test_workers_of_another_application_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Registry()
    known.heard(msgspec.json.encode({"type": "worker-heartbeat", "hostname": "celery@host", "pid": 1}))
    assert known.workers() == []


@run
async def test_who_asks_just_after_the_connection_waits_until_all_are_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = Registry()
    monkeypatch.setattr(registry, "_ALL_HEARD", 0.05)
    known.connected()
    asyncio.get_running_loop().call_later(0.01, known.heard, pulse("a"))
    await known.settled()
    assert [worker.name for worker in known.workers()] == ["a"]
