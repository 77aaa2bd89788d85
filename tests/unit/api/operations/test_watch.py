"""Looks are shared, and never waited for long."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from mlhub.api.operations import watch
from mlhub.api.operations.watch import Watch
from mlhub.common.errors import UnavailableError


class Thing:
    """Something to look at: each look sees the next number, once the test lets it."""

    def __init__(self) -> None:
        self.looks = 0
        self.error: UnavailableError | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def look(self) -> int:
        self.looks += 1
        seen = self.looks
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return seen


def run(test: Callable[[Any], Coroutine[Any, Any, None]]) -> Callable[[Any], None]:
    def wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
        asyncio.run(test(monkeypatch))

    return wrapped


@run
async def test_those_who_ask_at_once_share_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_FRESH", 600.0)
    thing = Thing()
    watched = Watch(thing.look, "The thing")
    assert await asyncio.gather(*(watched.get() for _ in range(5))) == [1] * 5
    assert await watched.get() == 1
    assert thing.looks == 1


@run
async def test_a_fair_look_is_given_at_once_while_a_new_one_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    thing = Thing()
    watched = Watch(thing.look, "The thing")
    await watched.get()
    monkeypatch.setattr(watch, "_FRESH", -1.0)
    monkeypatch.setattr(watch, "_FAIR", 600.0)
    monkeypatch.setattr(watch, "_OLD", 600.0)
    thing.gate.clear()
    assert await watched.get() == 1, "nobody waits"
    thing.gate.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert await watched.get() == 2


@run
async def test_what_is_slow_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    del monkeypatch
    thing = Thing()
    thing.gate.clear()
    watched = Watch(thing.look, "The thing", 0.01)
    with pytest.raises(UnavailableError, match=r"The thing does not answer") as raised:
        await watched.get()
    assert raised.value.retry_after == 2
    assert thing.looks == 1
    thing.gate.set()


@run
async def test_an_old_look_is_better_than_none_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    thing = Thing()
    watched = Watch(thing.look, "The thing")
    await watched.get()
    thing.error = UnavailableError("It is away.", code="away")
    monkeypatch.setattr(watch, "_FRESH", -1.0)
    monkeypatch.setattr(watch, "_FAIR", -1.0)
    assert await watched.get() == 1
    monkeypatch.setattr(watch, "_OLD", -1.0)
    with pytest.raises(UnavailableError, match=r"It is away\.") as raised:
        await watched.get()
    assert raised.value.code == "away"


@run
async def test_after_a_change_the_next_look_is_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    thing = Thing()
    watched = Watch(thing.look, "The thing")
    await watched.get()
    watched.forget()
    assert await watched.get() == 2
