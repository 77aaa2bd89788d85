"""Looking at the broker's queues: by its management API where there is one, by AMQP where not."""

from mlhub.common.sampling.amqp import AmqpSampler
from mlhub.common.sampling.base import QueueSampler
from mlhub.common.sampling.fallback import FallbackSampler
from mlhub.common.sampling.management import ManagementSampler
from mlhub.common.settings import Settings

__all__ = ["QueueSampler", "create_sampler"]


def create_sampler(settings: Settings) -> QueueSampler:
    """Return the sampler that the settings call for; nothing is asked of the broker yet."""
    plain = AmqpSampler(settings.broker_url, tuple(settings.backends))
    if settings.management_url is None:
        return plain
    rich = ManagementSampler(settings.management_url, settings.broker_url, tuple(settings.backends))
    return FallbackSampler(rich, plain)
