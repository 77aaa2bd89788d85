"""What passes between the event loop and the link to the broker."""

from typing import Any, Protocol

import msgspec


class Message(msgspec.Struct, frozen=True):
    """A task to publish."""

    id: str
    """Task id, and correlation id of the reply."""
    task: str
    queue: str
    """Name of the queue, equal to its routing key."""
    arguments: tuple[Any, ...]
    expires_in: float | None
    """Seconds after which nobody wants it any more; `None` makes it persistent, for work of record."""


class Reply(msgspec.Struct):
    """What Celery's result backend sends, as far as it matters here."""

    status: str
    """Celery's state; `SUCCESS` when `result` is what the task returned."""
    result: Any = None


class Events(Protocol):
    """What the link reports, always on the event loop."""

    def replied(self, identity: str, reply: Reply) -> None:
        """The reply to a message is here."""

    def heard(self, body: bytes | str) -> None:
        """A process of the hub, perhaps this one, gave a sign of life."""

    def confirmed(self, identity: str) -> None:
        """The broker has taken a message over."""

    def refused(self, identity: str) -> None:
        """The broker does not take a message: its queue is full."""

    def connected(self) -> None:
        """The link is up; replies to what was published before will not come."""

    def disconnected(self) -> None:
        """The link is down; what is published before it is up again is dropped."""

    def blocked(self, blocked: bool) -> None:  # noqa: FBT001 (an event, told by position like the others)
        """The broker takes no messages, short of memory or disk; or it does again."""
