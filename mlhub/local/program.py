"""What the watcher is told: programs to keep running, and what they have in common."""

import msgspec

from mlhub.common.addresses import local_url


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """How to start a program, and when to stop it."""

    name: str
    """Name of its watcher and of its log."""
    arguments: tuple[str, ...]
    """The command, first the executable."""
    environment: dict[str, str] = {}
    """Variables on top of those of the plan."""
    tier: int
    """Programs of a lower tier stop first: the API before the workers, the broker last."""
    patience: float = 15.0
    """Seconds it has to end by itself when it is stopped."""
    processes: int = 1
    """How many of it are started; the scaler may change that while they run."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What makes up an instance that runs, or is about to."""

    programs: tuple[Program, ...]
    environment: dict[str, str]
    """Variables for all programs, on top of the watcher's own: MLHub's settings."""
    host: str
    port: int
    """Where the API listens."""
    management_url: str | None = None
    """RabbitMQ's page, when the instance has a broker of its own."""
    samples: bool = False
    """Whether it can train and serve the sample model."""

    @property
    def url(self) -> str:
        """Where the API answers on this machine."""
        return local_url(self.host, self.port)


class Failure(msgspec.Struct, frozen=True):
    """How often a program ended without being told to."""

    count: int
    """Since the instance was started."""
    status: int | None
    """What it ended with the last time; minus the number of a signal, if one ended it."""
