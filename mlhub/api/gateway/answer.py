"""What a batch brought, and each request's part of it."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from mlhub.common import tensor
from mlhub.common.tensor import Array, Tensor


class Outputs:
    """What consecutive requests of one batch share: the arrays, and what is made of them once for all."""

    def __init__(self, tensors: Sequence[Tensor], backend_time: float, queue_time: float) -> None:
        self.arrays = {item.name: tensor.decode(item) for item in tensors}
        self.datatypes = {item.name: item.datatype for item in tensors}
        self.backend_time = backend_time
        self.queue_time = queue_time

    @cached_property
    def lists(self) -> dict[str, list[Any]]:
        """The arrays as Python's values, by row."""
        return {name: tensor.to_list(array) for name, array in self.arrays.items()}

    @cached_property
    def timing(self) -> str:
        """The times in milliseconds, as the header `Server-Timing` has them."""
        milliseconds = (self.queue_time * 1000, self.backend_time * 1000)
        return "queue;dur={:.2f}, backend;dur={:.2f}".format(*milliseconds)


class Answer:
    """The outputs for one request: its rows of what the batch brought."""

    __slots__ = ("_end", "_start", "shared")

    def __init__(self, shared: Outputs, start: int | None = None, end: int | None = None) -> None:
        self.shared = shared
        self._start = start
        """First row; nothing where all is for this request, rows or not."""
        self._end = end

    @property
    def outputs(self) -> dict[str, Array]:
        """Arrays by output name, rows first."""
        arrays = self.shared.arrays
        if self._start is None:
            return arrays
        return {name: array[self._start : self._end] for name, array in arrays.items()}

    @property
    def values(self) -> dict[str, list[Any]]:
        """The same as Python's values."""
        lists = self.shared.lists
        if self._start is None:
            return lists
        return {name: rows[self._start : self._end] for name, rows in lists.items()}

    @property
    def datatypes(self) -> dict[str, str]:
        """Open Inference datatypes of the outputs."""
        return self.shared.datatypes

    @property
    def backend_time(self) -> float:
        """Seconds the model server took for the batch."""
        return self.shared.backend_time

    @property
    def queue_time(self) -> float:
        """Seconds between sending the batch and its reply that the model server did not take."""
        return self.shared.queue_time
