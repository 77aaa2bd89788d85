"""Waiting for a record to reach an end that another process brings about."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

_FIRST: Final = 0.02
_LONGEST: Final = 0.5
"""Seconds between two looks: short at first, since most work is quick, and longer from look to look."""
_GROWTH: Final = 1.25
"""How much longer: whoever waits learns of the end late by a fifth of the time that it took, at most."""


async def until(look: Callable[[], T], done: Callable[[T], bool], wait: float) -> T:
    """Look at a record until it is done or `wait` seconds have passed; return it as it is then.

    `look` runs in a thread, since it asks the database.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    pause = _FIRST
    while True:
        record = await asyncio.to_thread(look)
        left = deadline - loop.time()
        if done(record) or left <= 0:
            return record
        await asyncio.sleep(min(pause, left))
        pause = min(pause * _GROWTH, _LONGEST)
