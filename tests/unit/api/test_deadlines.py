"""Requests are given up when their time has come, and not before."""

import asyncio

import numpy as np

from mlhub.api.gateway.deadlines import Deadlines
from mlhub.api.gateway.group import AwaitedWaiter, Waiter
from mlhub.common.rows import Rows

ROWS = Rows({"x": np.zeros((1, 1))}, 1, single=True)


def waiter(wait: float) -> Waiter:
    return AwaitedWaiter(ROWS, asyncio.get_running_loop().time(), wait, "-", "")


def test_those_that_are_left_are_given_up_in_time() -> None:
    async def test() -> None:
        ended: asyncio.Queue[Waiter] = asyncio.Queue()
        deadlines = Deadlines(ended.put_nowait)
        soon, together, later, answered = waiter(0.05), waiter(0.05), waiter(0.1), waiter(0.05)
        alone, long = waiter(0.07), waiter(1000)
        for one in (later, long, soon, answered, together, alone):
            deadlines.add(one)
        deadlines.remove(answered)
        deadlines.remove(alone)
        deadlines.remove(alone)
        assert {await ended.get(), await ended.get()} == {soon, together}
        assert asyncio.get_running_loop().time() >= soon.deadline
        assert await ended.get() is later
        assert asyncio.get_running_loop().time() >= later.deadline
        deadlines.remove(later)
        assert ended.empty()
        deadlines.remove(long)

    asyncio.run(test())
