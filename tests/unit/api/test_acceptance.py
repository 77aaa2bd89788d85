"""Predictions that come at the same time are kept together; each hears of its own outcome, once it is kept."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec
import pytest

from mlhub.api.acceptance import Acceptance, patience_after
from mlhub.common.errors import TooLargeError, UnavailableError
from mlhub.common.prediction import Prediction
from mlhub.common.tensor import Tensor
from mlhub.storage.database import now


def prediction(number: int, *, backend: str = "b", size: int = 8) -> Prediction:
    return Prediction(
        id=f"p{number}",
        model="m",
        version="1",
        backend=backend,
        deployment="d",
        inputs=(Tensor("x", "UINT8", (1, size), bytes(size)),),
        created_at=now(),
        published_at=now(),
    )


class Store:
    """Keeps what it is given when the test lets it."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.messages: list[tuple[list[str], str]] = []
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.answer: Callable[[Prediction], Any] = lambda item: item

    def keep(self, new: Sequence[Prediction]) -> list[Any]:
        self.groups.append([item.id for item in new])
        self.begun.release()
        assert self.may_end.acquire(timeout=60)
        return [self.answer(item) for item in new]

    async def announce(self, ids: Sequence[str], backend: str) -> None:
        self.messages.append((list(ids), backend))


def run(
    test: Callable[[Acceptance, Store], Coroutine[Any, Any, None]],
    patience: Callable[[float], float] | None = None,
) -> None:
    async def started() -> None:
        store = Store()
        async with asyncio.timeout(60):
            await test(Acceptance(store.keep, store.announce, patience), store)

    asyncio.run(started())


def accepted(acceptance: Acceptance, *new: Prediction) -> "asyncio.Future[list[Any]]":
    return asyncio.gather(*(acceptance.accept(item) for item in new), return_exceptions=True)


def test_what_comes_while_a_group_is_kept_goes_together() -> None:
    async def test(acceptance: Acceptance, store: Store) -> None:
        first = accepted(acceptance, prediction(0), prediction(1))
        await asyncio.to_thread(store.begun.acquire)
        later = accepted(acceptance, *(prediction(number) for number in range(2, 140)))
        store.may_end.release()
        assert [item.id for item in await first] == ["p0", "p1"]
        assert not later.done(), "it is not kept yet"
        store.may_end.release(3)
        assert [item.id for item in await later] == [f"p{number}" for number in range(2, 140)]
        assert [len(group) for group in store.groups] == [2, 64, 64, 10]
        assert store.messages == [(group, "b") for group in store.groups]

    run(test)


def test_those_that_came_together_before_do_so_again() -> None:
    async def test(acceptance: Acceptance, store: Store) -> None:
        store.may_end.release(2)
        await accepted(acceptance, prediction(0), prediction(1))
        first = accepted(acceptance, prediction(2))
        await asyncio.sleep(0)
        second = accepted(acceptance, prediction(3))
        await asyncio.gather(first, second)
        assert store.groups == [["p0", "p1"], ["p2", "p3"]]

    run(test, patience=lambda _: 600)


def test_those_that_overlapped_come_together_from_then_on() -> None:
    async def test(acceptance: Acceptance, store: Store) -> None:
        first = accepted(acceptance, prediction(0))
        await asyncio.to_thread(store.begun.acquire)
        second = accepted(acceptance, prediction(1))
        store.may_end.release(2)
        await first
        again = accepted(acceptance, prediction(2))
        await asyncio.gather(second, again)
        assert store.groups == [["p0"], ["p1", "p2"]]

    run(test, patience=lambda _: 600)


def test_one_that_always_comes_alone_waits_for_nobody() -> None:
    async def test(acceptance: Acceptance, store: Store) -> None:
        for number in range(3):
            store.may_end.release()
            await accepted(acceptance, prediction(number))
        assert store.groups == [["p0"], ["p1"], ["p2"]]

    run(test, patience=lambda _: 600)


def test_whoever_does_not_come_again_is_not_waited_for() -> None:
    async def test(acceptance: Acceptance, store: Store) -> None:
        store.may_end.release(3)
        await accepted(acceptance, prediction(0), prediction(1))
        await accepted(acceptance, prediction(2))
        await accepted(acceptance, prediction(3))
        assert store.groups == [["p0", "p1"], ["p2"], ["p3"]]

    run(test)


def test_it_waits_no_longer_than_a_write_takes_and_not_long() -> None:
    assert patience_after(0.002) == 0.002
    assert patience_after(5.0) <= 0.01


def test_each_backend_gets_a_message_with_what_is_new() -> None:
    async def test(acceptance: Acceptance, store: Store) -> None:
        earlier = prediction(9)
        store.answer = lambda item: earlier if item.id == "p1" else item
        store.may_end.release()
        kept = await accepted(acceptance, prediction(0), prediction(1), prediction(2, backend="c"))
        assert [item.id for item in kept] == ["p0", "p9", "p2"]
        assert store.messages == [(["p0"], "b"), (["p2"], "c")]

    run(test)


def test_what_waits_for_its_turn_is_not_announced() -> None:
    async def test(acceptance: Acceptance, store: Store) -> None:
        store.answer = lambda item: (
            msgspec.structs.replace(item, published_at=None) if item.id == "p1" else item
        )
        store.may_end.release()
        kept = await accepted(acceptance, prediction(0), prediction(1))
        assert [item.id for item in kept] == ["p0", "p1"]
        assert store.messages == [(["p0"], "b")]

    run(test)


def test_one_that_cannot_be_kept_fails_alone() -> None:
    async def test(acceptance: Acceptance, store: Store) -> None:
        store.answer = lambda item: TooLargeError("large") if item.id == "p1" else item
        store.may_end.release()
        good, bad = await accepted(acceptance, prediction(0), prediction(1))
        assert good.id == "p0"
        assert isinstance(bad, TooLargeError)
        assert store.messages == [(["p0"], "b")]

    run(test)


@pytest.mark.parametrize("error", [UnavailableError("away"), KeyError("surprise")])
def test_when_nothing_can_be_kept_all_learn_of_it_and_the_next_are_tried(error: Exception) -> None:
    def fail(_: Prediction) -> Any:
        raise error

    async def test(acceptance: Acceptance, store: Store) -> None:
        store.answer = fail
        store.may_end.release(2)
        assert await accepted(acceptance, prediction(0), prediction(1)) == [error, error]
        store.answer = lambda item: item
        (good,) = await accepted(acceptance, prediction(2))
        assert good.id == "p2"

    run(test)


def test_large_ones_do_not_pile_up_in_one_group() -> None:
    async def test(acceptance: Acceptance, store: Store) -> None:
        store.may_end.release(3)
        large = [prediction(number, size=5 * 1024 * 1024) for number in range(3)]
        await accepted(acceptance, *large)
        assert store.groups == [["p0"], ["p1"], ["p2"]]

    run(test)


def test_a_client_that_goes_away_takes_nobody_with_it() -> None:
    async def test(acceptance: Acceptance, store: Store) -> None:
        gone = asyncio.ensure_future(acceptance.accept(prediction(0)))
        stays = asyncio.ensure_future(acceptance.accept(prediction(1)))
        await asyncio.to_thread(store.begun.acquire)
        gone.cancel()
        store.may_end.release()
        assert (await stays).id == "p1"
        assert store.messages == [(["p0", "p1"], "b")]

    run(test)
