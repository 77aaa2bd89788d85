"""Large inputs and outputs of asynchronous predictions: in the bundle store, not in their documents.

A document is read and written as a whole at each change of any prediction in its group; and a database keeps
16 MiB in one. What is in a file is its tensors as msgpack.
"""

from datetime import timedelta
from typing import Final

import msgspec

from mlhub.common.prediction import Prediction, StoredTensors
from mlhub.common.tensor import Tensor
from mlhub.storage.heldfiles import HeldFiles

_TENSORS: Final = msgspec.msgpack.Decoder(tuple[Tensor, ...])


class LargeTensors:
    """Takes tensors out of predictions, and puts them back."""

    def __init__(self, files: HeldFiles, keep: timedelta, largest: int) -> None:
        """Remember what is needed.

        Args:
            files: where they go.
            keep: how long predictions are kept.
            largest: bytes of inputs, and of outputs, that a document may have.
        """
        self._files = files
        self._keep = keep
        self._largest = largest

    def without_inputs(self, prediction: Prediction) -> Prediction:
        """Return a prediction whose large inputs are in a file, and say no more than their shapes.

        Raises:
            UnavailableError: the store takes nothing.
        """
        if self._fits(prediction.inputs):
            return prediction
        stored = self._put(prediction, prediction.inputs)
        shapes = tuple(msgspec.structs.replace(item, data=b"") for item in prediction.inputs)
        return msgspec.structs.replace(prediction, inputs=shapes, inputs_file=stored)

    def with_inputs(self, prediction: Prediction) -> Prediction:
        """Return a prediction with its inputs.

        Raises:
            UnavailableError: the store does not answer, or has lost them.
        """
        if prediction.inputs_file is None:
            return prediction
        return msgspec.structs.replace(prediction, inputs=self._get(prediction.inputs_file))

    def without_result(self, prediction: Prediction) -> Prediction:
        """Return a prediction whose large outputs are in a file.

        Raises:
            UnavailableError: the store takes nothing.
        """
        if self._fits(prediction.result):
            return prediction
        stored = self._put(prediction, prediction.result)
        return msgspec.structs.replace(prediction, result=(), result_file=stored, apart=True)

    def with_result(self, prediction: Prediction) -> Prediction:
        """Return a prediction with its outputs.

        Raises:
            UnavailableError: the store does not answer, or has lost them.
        """
        if prediction.result_file is None:
            return prediction
        return msgspec.structs.replace(prediction, result=self._get(prediction.result_file))

    def drop(self, stored: StoredTensors | None) -> None:
        """Drop a file that is of no more use."""
        if stored is not None:
            self._files.drop(stored.key, stored.holder)

    def _fits(self, tensors: tuple[Tensor, ...]) -> bool:
        return sum(len(item.data) for item in tensors) <= self._largest

    def _put(self, prediction: Prediction, tensors: tuple[Tensor, ...]) -> StoredTensors:
        writer = self._files.create()
        try:
            writer.write(msgspec.msgpack.encode(tensors))
            held = self._files.keep(writer, prediction.created_at + self._keep)
        finally:
            writer.abort()
        return StoredTensors(held.key, held.holder, held.stored.size, held.stored.sha256)

    def _get(self, stored: StoredTensors) -> tuple[Tensor, ...]:
        return _TENSORS.decode(self._files.read(stored.key, stored.sha256))
