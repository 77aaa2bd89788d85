"""The calls of single rows: what is sent to TFaaS, and what its answers mean."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
from urllib3 import encode_multipart_formdata

from mlhub.common import tensor
from mlhub.common.errors import BackendError, BackendRefusedError
from mlhub.common.tensor import Array, Tensor
from mlhub.workers.adapters.answers import garbage
from mlhub.workers.adapters.connection import Answer

OUTPUT: Final = "output"
LABEL: Final = "label"
PROBABILITY: Final = "probability"
_KINDS: Final = ((b"\x89PNG\r\n\x1a\n", "image.png"), (b"\xff\xd8\xff", "image.jpg"))
"""How pictures begin; the server decides by the name how to decode one."""


class RowCall(msgspec.Struct, frozen=True):
    """What is asked for one row."""

    path: str
    body: bytes
    headers: dict[str, str]


class _Label(msgspec.Struct):
    label: str
    probability: float


class _Labels(msgspec.Struct):
    """What older models answer to a picture: the likeliest classes."""

    labels: list[_Label]


Predicted = list[float] | _Labels
_ANSWER: Final[msgspec.json.Decoder[Predicted]] = msgspec.json.Decoder(Predicted)


def calls(inputs: Sequence[Tensor], name: str) -> Iterator[RowCall | BackendError]:
    """Make the call of each row, or say why there is none.

    Raises:
        BackendRefusedError: no row can be asked.
    """
    if len(inputs) != 1:
        raise BackendRefusedError("TFaaS takes one input a model.")
    array = tensor.decode(inputs[0])
    if not array.ndim:
        raise BackendRefusedError("TFaaS takes rows.")
    if array.dtype.kind == "O":
        return (_image(picture, name) for picture in array.ravel().tolist())
    if array.dtype.kind not in "iuf":
        raise BackendRefusedError("TFaaS takes numbers or pictures.")
    return _numbers(array, name)


def _numbers(array: Array, name: str) -> Iterator[RowCall | BackendError]:
    with np.errstate(over="ignore"):
        rows = array.reshape(len(array), -1).astype(np.float32)
    for row in rows:
        if np.isnan(row).any():
            yield BackendRefusedError("TFaaS takes no missing values.")
            continue
        if not np.isfinite(row).all():
            yield BackendRefusedError("A number here is too large for FP32, in which TFaaS computes.")
            continue
        # It takes no nested values, and does not look at keys.
        body = msgspec.json.encode({"keys": [], "values": row.tolist(), "model": name})
        yield RowCall("/predict/json", body, {"Content-Type": "application/json"})


def _image(picture: bytes, name: str) -> RowCall | BackendError:
    for magic, filename in _KINDS:
        if picture.startswith(magic):
            body, kind = encode_multipart_formdata({"model": name, "image": (filename, picture)})
            return RowCall("/predict/image", body, {"Content-Type": kind})
    return BackendRefusedError("TFaaS takes pictures as PNG or JPEG; this is neither.")


def decode(answer: Answer) -> Predicted:
    """Read the answer to one row, whatever type it is labelled with.

    Raises:
        BackendError: it is none.
    """
    try:
        return _ANSWER.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise garbage(answer) from error


def stack(rows: Sequence[Predicted], outputs: Sequence[str]) -> tuple[Tensor, ...]:
    """Make outputs from the answers to all rows.

    Raises:
        BackendError: they differ in length or kind.
        BackendRefusedError: an output is wanted that there is not.
    """
    numbers = [row for row in rows if isinstance(row, list)]
    labels = [row.labels for row in rows if not isinstance(row, list)]
    if (numbers and labels) or len({len(row) for row in numbers or labels}) > 1:
        raise BackendError("TFaaS answered to rows of one model with different numbers of values.")
    if labels:
        found = {
            LABEL: tensor.encode(LABEL, np.array([[item.label for item in row] for row in labels], object)),
            PROBABILITY: tensor.encode(
                PROBABILITY, np.array([[item.probability for item in row] for row in labels], np.float32)
            ),
        }
    else:
        only = outputs[0] if len(outputs) == 1 else OUTPUT
        found = {only: tensor.encode(only, np.array(numbers, np.float32))}
    for output in outputs:
        if output not in found:
            raise BackendRefusedError(f"TFaaS gives {' and '.join(found)}, and no {output!r}.")
    return tuple(item for name, item in found.items() if not outputs or name in outputs)
