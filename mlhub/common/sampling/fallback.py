"""The better of two ways while it works, the other one while it does not."""

import logging
import time
from collections.abc import Sequence
from typing import Final

from mlhub.common.errors import UnavailableError
from mlhub.common.operations import QueueState
from mlhub.common.sampling.base import QueueSampler

_LOG = logging.getLogger(__name__)

_AGAIN: Final = 30.0
"""Seconds after which the better way is tried again."""


class FallbackSampler:
    """Asks one sampler, and another for a while when that fails."""

    def __init__(self, first: QueueSampler, second: QueueSampler) -> None:
        self._first = first
        self._second = second
        self._not_before = 0.0

    def sample(self) -> Sequence[QueueState]:
        """Ask the first sampler, or the second."""
        if time.monotonic() >= self._not_before:
            try:
                return self._first.sample()
            except UnavailableError as error:
                self._not_before = time.monotonic() + _AGAIN
                _LOG.warning("%s Queues are looked at by AMQP for a while, which knows less.", error)
        return self._second.sample()

    def close(self) -> None:
        """Close both."""
        self._first.close()
        self._second.close()
