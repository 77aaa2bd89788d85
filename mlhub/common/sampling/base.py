"""The seam: what looks at queues."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from mlhub.common import topology
from mlhub.common.operations import QueueState


class QueueSampler(Protocol):
    """Looks at all queues of a hub; blocking, and for one thread at a time."""

    def sample(self) -> Sequence[QueueState]:
        """Return how all queues are now, in the order of the backends, dead letters last.

        Raises:
            UnavailableError: the broker does not answer.
        """

    def close(self) -> None:
        """Close the connection; another sample makes a new one."""


def owners(backends: Iterable[str]) -> dict[str, str | None]:
    """Name all queues of a hub, each with the backend whose work it carries."""
    found: dict[str, str | None] = {
        queue.name: backend for backend in backends for queue in topology.backend_queues(backend)
    }
    return found | {topology.DEAD.name: None}
