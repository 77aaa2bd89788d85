"""The ends of clients' patience: one timer for all that end at about the same time."""

import asyncio
from collections.abc import Callable
from typing import Final

from mlhub.api.gateway.group import Waiter

_STEP: Final = 0.02
"""Seconds by which a request may be given up too late: timers cost more than all that is kept here."""


class _Moment:
    """The requests that are given up together."""

    __slots__ = ("timer", "waiters")

    def __init__(self, timer: asyncio.TimerHandle) -> None:
        self.timer = timer
        self.waiters: set[Waiter] = set()


class Deadlines:
    """Knows which requests wait until when; everything happens on the event loop."""

    def __init__(self, expired: Callable[[Waiter], None]) -> None:
        """Begin with none; `expired` is told of each whose time has come, which is known no more then."""
        self._expired = expired
        self._moments: dict[int, _Moment] = {}

    def add(self, waiter: Waiter) -> None:
        """Watch a request."""
        number = _number(waiter)
        moment = self._moments.get(number)
        if moment is None:
            timer = asyncio.get_running_loop().call_at(number * _STEP, self._end, number)
            moment = self._moments[number] = _Moment(timer)
        moment.waiters.add(waiter)

    def remove(self, waiter: Waiter) -> None:
        """Watch a request no more."""
        number = _number(waiter)
        moment = self._moments.get(number)
        if moment is not None:
            moment.waiters.discard(waiter)
            if not moment.waiters:
                moment.timer.cancel()
                del self._moments[number]

    def _end(self, number: int) -> None:
        for waiter in self._moments.pop(number).waiters:
            self._expired(waiter)


def _number(waiter: Waiter) -> int:
    return int(waiter.deadline / _STEP) + 1
