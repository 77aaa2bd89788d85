"""Routes are remembered for a moment, looked up once, and kept while the database is away."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from mlhub.api.services.routes import Key, Route, RouteCache
from mlhub.common.errors import MLHubError, NotFoundError, UnavailableError
from mlhub.common.signature import Signature


class Lookup:
    """Finds routes as the database would, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception | None = None
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, keys: Sequence[Key]) -> list[Route | MLHubError]:
        self.calls += 1
        self.entered.set()
        self.gate.wait(60)
        if self.error is not None:
            raise self.error
        return [self.found(*key) for key in keys]

    def found(self, name: str, version: str) -> Route | MLHubError:
        if name == "gone":
            return NotFoundError("gone")
        return Route(name, version, "b", f"{version}-{self.calls}", Signature(()), ())


def test_one_look_serves_all_that_come_meanwhile_and_for_a_while_after() -> None:
    async def test() -> None:
        lookup = Lookup()
        cache = RouteCache(lookup, ttl=60)
        routes = await asyncio.gather(*(cache.get("m", "1") for _ in range(20)))
        assert lookup.calls == 1
        assert len({id(route) for route in routes}) == 1
        await cache.get("m", "1")
        assert lookup.calls == 1

    asyncio.run(test())


def test_a_change_by_this_process_is_seen_at_once() -> None:
    async def test() -> None:
        lookup = Lookup()
        cache = RouteCache(lookup, ttl=60)
        first = await cache.get("m", "1")
        cache.drop("m")
        assert (await cache.get("m", "1")).deployment != first.deployment

    asyncio.run(test())


def test_a_look_that_began_before_a_change_is_not_remembered() -> None:
    async def test() -> None:
        lookup = Lookup()
        lookup.gate.clear()
        cache = RouteCache(lookup, ttl=60)
        begun = asyncio.ensure_future(cache.get("m", "1"))
        assert await asyncio.to_thread(lookup.entered.wait, 60)
        cache.drop("m")
        lookup.gate.set()
        old = await begun
        assert (await cache.get("m", "1")).deployment != old.deployment

    asyncio.run(test())


@pytest.mark.parametrize(
    ("error", "kept"), [(UnavailableError("away"), True), (NotFoundError("gone"), False)]
)
def test_without_a_database_the_last_route_serves_but_not_when_it_is_gone(error: Any, kept: bool) -> None:
    async def test() -> None:
        lookup = Lookup()
        cache = RouteCache(lookup, ttl=0)
        await cache.get("m", "1")
        lookup.error = error
        if kept:
            assert (await cache.get("m", "1")).deployment == "1-1"
        else:
            for _ in range(2):
                with pytest.raises(NotFoundError):
                    await cache.get("m", "1")

    asyncio.run(test())


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


async def renewed(cache: RouteCache, first: Route) -> None:
    """Wait until a route is not the first any more."""
    while cache.known("m", "1") is first:  # noqa: ASYNC110 (the cache tells nobody)
        await asyncio.sleep(0.001)


def test_a_route_in_use_is_renewed_while_it_serves() -> None:
    async def test() -> None:
        lookup, clock = Lookup(), Clock()
        cache = RouteCache(lookup, 1, clock)
        first = await cache.get("m", "1")
        clock.time += 0.6
        assert cache.known("m", "1") is first
        await renewed(cache, first)
        assert lookup.calls == 2

    asyncio.run(test())


def test_a_slow_database_holds_nobody_up_but_not_for_long() -> None:
    async def test() -> None:
        lookup, clock = Lookup(), Clock()
        cache = RouteCache(lookup, 1, clock)
        first = await cache.get("m", "1")
        lookup.gate.clear()
        clock.time += 0.6
        assert cache.known("m", "1") is first
        clock.time += 3
        assert cache.known("m", "1") is first
        clock.time += 3
        assert cache.known("m", "1") is None
        lookup.gate.set()
        assert (await cache.get("m", "1")).deployment == "1-2"

    asyncio.run(test())


def test_a_route_that_nobody_used_is_looked_up_before_it_serves() -> None:
    async def test() -> None:
        lookup, clock = Lookup(), Clock()
        cache = RouteCache(lookup, 1, clock)
        await cache.get("m", "1")
        clock.time += 2
        assert cache.known("m", "1") is None
        assert (await cache.get("m", "1")).deployment == "1-2"

    asyncio.run(test())


def test_nobody_waits_for_a_database_that_is_known_to_be_away() -> None:
    async def test() -> None:
        lookup, clock = Lookup(), Clock()
        cache = RouteCache(lookup, 1, clock)
        first = await cache.get("m", "1")
        lookup.error = UnavailableError("away")
        clock.time += 2
        assert await cache.get("m", "1") is first
        lookup.gate.clear()
        clock.time += 100
        assert cache.known("m", "1") is first
        lookup.gate.set()
        lookup.error = None
        await renewed(cache, first)

    asyncio.run(test())


def test_routes_that_are_wanted_while_others_are_looked_up_are_one_look() -> None:
    async def test() -> None:
        lookup = Lookup()
        lookup.gate.clear()
        cache = RouteCache(lookup, 60)
        first = asyncio.create_task(cache.get("m", "1"))
        assert await asyncio.to_thread(lookup.entered.wait, 10)
        others = [asyncio.create_task(cache.get(name, "1")) for name in ("a", "gone", "b")]
        await asyncio.sleep(0)
        others[0].cancel()
        lookup.gate.set()
        await first
        with pytest.raises(NotFoundError):
            await others[1]
        assert (await others[2]).model == "b"
        assert lookup.calls == 2

    asyncio.run(test())


def test_what_a_look_raises_meets_all_that_it_was_for() -> None:
    async def test() -> None:
        lookup = Lookup()
        cache = RouteCache(lookup, 60)
        lookup.error = ZeroDivisionError()
        found = await asyncio.gather(*(cache.get(name, "1") for name in "abc"), return_exceptions=True)
        assert [type(error) for error in found] == [ZeroDivisionError] * 3
        lookup.error = None
        assert (await cache.get("a", "1")).model == "a"

    asyncio.run(test())
