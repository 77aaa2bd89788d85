"""How much is in flight, and when more should be.

Something is sent at once while nothing is in flight, so a lone request waits for nobody. Beside messages that
are in flight, another one goes once it holds as many requests as those: smaller ones cost as much on the way,
and the next reply is near. When all slots are taken, requests collect until a reply frees one. There is no
timer.
"""

from typing import Final

import msgspec

_NEAR: Final = 0.02
"""Seconds within which a reply is near enough to be waited for."""
_WEIGHT: Final = 0.1
"""Part that the newest roundtrip has in what is known of them."""


class Limits(msgspec.Struct, frozen=True):
    """How large and how many the messages for a backend may be."""

    rows: int
    """Rows a message may hold."""
    size: int
    """Bytes of tensors a message may hold."""
    slots: int
    """Messages in flight at once."""
    slots_ahead: int
    """The same where replies take long: some wait beside those that are worked on."""


class Slots:
    """The messages in flight that count together."""

    __slots__ = ("_limits", "_roundtrip", "in_flight", "requests")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.in_flight = 0
        self.requests = 0
        """Requests in these messages."""
        self._roundtrip = 0.0
        """Seconds between a message and its reply, as they were lately."""

    def ripe(self, waiting: int) -> bool:
        """Tell whether another message should go out now, which could hold that many requests."""
        # Where replies take long, waiting for one would cost more than a small message does; and the next
        # messages are better at hand when a slot frees, since the way there takes its time.
        slow = self._roundtrip > _NEAR
        if not waiting or self.in_flight >= (self._limits.slots_ahead if slow else self._limits.slots):
            return False
        return not self.in_flight or slow or waiting * self.in_flight >= self.requests

    def took(self, seconds: float) -> None:
        """Learn how long a message and its reply took."""
        self._roundtrip += (seconds - self._roundtrip) * _WEIGHT

    def sent(self, requests: int) -> None:
        """Count a message that goes out."""
        self.in_flight += 1
        self.requests += requests

    def ended(self, requests: int) -> None:
        """Count it out again."""
        self.in_flight -= 1
        self.requests -= requests
