"""The pools of a backend: groups of like processes that grow and shrink, and the settings of each."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Processes = Annotated[int, Field(ge=0, le=1000)]


class PoolKind(StrEnum):
    """What the processes of a pool do."""

    PREDICT = "predict"
    """They carry the batches of clients that wait to the model servers."""
    JOBS = "jobs"
    """They do asynchronous predictions, validation and removal."""
    SERVERS = "servers"
    """They are model servers of MLHub's own; each has one at least."""


class PoolSettings(BaseModel):
    """How large one pool may be, and by which rules it grows and shrinks by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    minimum: Processes = 1
    """Processes it has at least, and when nobody said otherwise."""
    maximum: Annotated[int, Field(ge=1, le=1000)] = 16
    """Processes it has at most."""
    automatic: bool = False
    """Whether it follows its load, between the two."""
    messages: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 4.0
    """Messages waiting in the queue for each process that are fine; with more it grows."""
    age: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5.0
    """Seconds a message may wait; when one waits longer the pool grows by a process."""
    pause: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 60.0
    """Seconds for which fewer processes must have been enough before it shrinks."""

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError("the 'minimum' of a pool must not exceed its 'maximum'")
        if self.automatic and self.minimum == 0:
            # Nobody takes messages from the queue of an empty pool, and a lone one would wait for its age.
            raise ValueError("a pool that is 'automatic' needs a 'minimum' of at least 1")
        return self

    def bounded(self, count: int) -> int:
        """Return the size nearest to `count` that the pool may have."""
        return min(max(count, self.minimum), self.maximum)
