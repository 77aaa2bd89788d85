"""The bodies of the Open Inference Protocol v2 over REST, with its binary data extension.

Sources: https://github.com/kserve/open-inference-protocol (REST) and Triton's "Binary Tensor Data
Extension". A body with binary data is the JSON part, whose length stands in the header `HEADER_LENGTH`,
followed by the bytes of each such tensor in order.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import msgspec

from mlhub.common import badjson, jsontensor, tensor
from mlhub.common.errors import MalformedError, UnacceptableError
from mlhub.common.tensor import DTYPES, Array, Tensor

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
BINARY_EXTENSION: Final = "binary_tensor_data"
"""Name under which a server lists the extension in `GET /v2`."""
INDEX_EXTENSION: Final = "model_repository"
"""Name of the extension that lists, loads and unloads models."""
LAZY_EXTENSION: Final = "load_on_first_use"
"""Name under which MLHub's own servers list that every version in their index can be asked at once."""
BINARY_TYPE: Final = "application/octet-stream"
JSON_TYPE: Final = "application/json"


class WireTensor(msgspec.Struct, omit_defaults=True):
    """An input or output as it stands in the JSON part."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, Any] = {}
    data: msgspec.Raw = msgspec.Raw()


class WireOutput(msgspec.Struct, omit_defaults=True):
    """An output that a request asks for."""

    name: str
    parameters: dict[str, Any] = {}


class WireRequest(msgspec.Struct, omit_defaults=True):
    """The JSON part of a request."""

    inputs: tuple[WireTensor, ...]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: tuple[WireOutput, ...] = ()


class WireResponse(msgspec.Struct, omit_defaults=True):
    """The JSON part of a response."""

    model_name: str
    outputs: tuple[WireTensor, ...]
    model_version: str | None = None
    id: str | None = None
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct, frozen=True):
    """A request with its tensors decoded."""

    inputs: dict[str, Array]
    """Inputs by name, in the order they came."""
    id: str | None = None
    outputs: tuple[str, ...] = ()
    """Names of the outputs asked for; empty means the model's default."""
    binary: frozenset[str] | None = frozenset()
    """Outputs to return as binary data; `None` means all."""


_NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on text that is not the JSON it should be; the last, when it is nested too deeply."""
_REQUEST: Final = msgspec.json.Decoder(WireRequest)
_RESPONSE: Final = msgspec.json.Decoder(WireResponse)


def encode_request(
    inputs: Sequence[Tensor], outputs: Iterable[str] = (), *, binary: bool
) -> tuple[bytes, int | None]:
    """Make the body of a request.

    Returns:
        The body, and the length of its JSON part for `HEADER_LENGTH`, `None` when all of it is JSON.
    """
    head = WireRequest(
        inputs=tuple(_wire(item, binary=binary) for item in inputs),
        outputs=tuple(WireOutput(name) for name in outputs),
        parameters={"binary_data_output": True} if binary else {},
    )
    return _body(msgspec.json.encode(head), inputs if binary else ())


def decode_request(body: bytes, header_length: int | None = None) -> InferRequest:
    """Read the body of a request.

    Args:
        body: all of it.
        header_length: value of `HEADER_LENGTH` where the request has that header.

    Raises:
        MalformedError: it is not a request of the protocol.
        UnacceptableError: a tensor's data does not fit its datatype or shape.
    """
    text, rest = _split(body, header_length)
    try:
        head = _REQUEST.decode(text)
    except msgspec.ValidationError as error:
        raise MalformedError(
            f"The body is not an Open Inference request: {error}.", code="bad_request"
        ) from error
    except _NOT_JSON as error:
        raise MalformedError(f"The body {badjson.fault(text, error)}.", code="bad_request") from error
    inputs: dict[str, Array] = {}
    for index, (item, raw) in enumerate(_with_binary(head.inputs, rest)):
        inputs[item.name] = _array(item, raw, f"/inputs/{index}/data")
    if len(inputs) != len(head.inputs):
        raise UnacceptableError("Two inputs have the same name.", code="bad_input")
    every = head.parameters.get("binary_data_output") is True
    chosen = frozenset(item.name for item in head.outputs if item.parameters.get("binary_data") is True)
    return InferRequest(
        inputs=inputs,
        id=head.id,
        outputs=tuple(item.name for item in head.outputs),
        binary=None if every else chosen,
    )


def encode_response(
    model: str,
    version: str | None,
    outputs: Sequence[Tensor],
    *,
    request_id: str | None = None,
    binary: frozenset[str] | None = frozenset(),
) -> tuple[bytes, int | None]:
    """Make the body of a response; `binary` names the outputs to send raw, `None` means all.

    Returns:
        The body, and the length of its JSON part for `HEADER_LENGTH`, `None` when all of it is JSON.
    """
    raw = [item for item in outputs if binary is None or item.name in binary]
    head = WireResponse(
        model_name=model,
        model_version=version,
        id=request_id,
        outputs=tuple(_wire(item, binary=binary is None or item.name in binary) for item in outputs),
    )
    return _body(msgspec.json.encode(head), raw)


def decode_response(body: bytes, header_length: int | None = None) -> tuple[Tensor, ...]:
    """Read the outputs from the body of a response.

    Raises:
        MalformedError: it is not a response of the protocol.
        UnacceptableError: an output's data does not fit its datatype or shape.
    """
    text, rest = _split(body, header_length)
    try:
        head = _RESPONSE.decode(text)
    except _NOT_JSON as error:
        raise MalformedError(
            f"The body is not an Open Inference response: {error}.", code="bad_response"
        ) from error
    outputs = []
    for index, (item, raw) in enumerate(_with_binary(head.outputs, rest)):
        pointer = f"/outputs/{index}/data"
        outputs.append(
            _tensor(item, bytes(raw))
            if raw is not None
            else tensor.encode(item.name, _array(item, None, pointer))
        )
    return tuple(outputs)


def _wire(item: Tensor, *, binary: bool) -> WireTensor:
    wire = WireTensor(item.name, item.datatype, item.shape)
    if binary:
        wire.parameters = {"binary_data_size": len(item.data)}
    else:
        wire.data = msgspec.Raw(msgspec.json.encode(tensor.to_list(tensor.decode(item).reshape(-1))))
    return wire


def _body(head: bytes, raw: Iterable[Tensor]) -> tuple[bytes, int | None]:
    pieces = [item.data for item in raw]
    if not pieces:
        return head, None
    return b"".join((head, *pieces)), len(head)


def _split(body: bytes, header_length: int | None) -> tuple[bytes, memoryview]:
    if header_length is None:
        return body, memoryview(b"")
    if not 0 <= header_length <= len(body):
        raise MalformedError(f"{HEADER_LENGTH} is larger than the body.", code="bad_request")
    # Tensors may be large: what follows is not copied.
    return body[:header_length], memoryview(body)[header_length:]


def _with_binary(
    items: Iterable[WireTensor], rest: memoryview
) -> Iterable[tuple[WireTensor, memoryview | None]]:
    position = 0
    for item in items:
        size = item.parameters.get("binary_data_size")
        if size is None:
            yield item, None
            continue
        if not isinstance(size, int) or isinstance(size, bool) or size < 0 or position + size > len(rest):
            raise MalformedError(
                f"The binary data of tensor {item.name!r} is not all there.", code="bad_request"
            )
        yield item, rest[position : position + size]
        position += size
    if position != len(rest):
        raise MalformedError("The body has bytes after its last tensor.", code="bad_request")


def _array(item: WireTensor, raw: memoryview | None, pointer: str) -> Array:
    if item.datatype not in DTYPES:
        raise UnacceptableError(f"There is no datatype {item.datatype!r}.", code="bad_input")
    if raw is not None:
        return tensor.decode(_tensor(item, raw))
    if not bytes(item.data):
        raise UnacceptableError(f"Tensor {item.name!r} has no data.", code="bad_input")
    if any(extent < 0 for extent in item.shape):
        raise UnacceptableError(
            f"Tensor {item.name!r} has shape {list(item.shape)}; say how many rows there are, "
            "an extent is a whole number from 0.",
            code="bad_input",
        )
    # Whether the model takes missing values is looked at where its signature is known.
    array = jsontensor.parse(item.data, item.datatype, pointer, True)  # noqa: FBT003 (as it is declared)
    if array.size != math.prod(item.shape):
        raise UnacceptableError(
            f"Tensor {item.name!r} has {array.size} elements, but shape {list(item.shape)} takes "
            f"{math.prod(item.shape)}.",
            code="bad_input",
        )
    try:
        return array.reshape(item.shape)
    except ValueError as error:
        raise UnacceptableError(f"Tensor {item.name!r} has an impossible shape.", code="bad_input") from error


def _tensor(item: WireTensor, raw: bytes | memoryview) -> Tensor:
    # A part of a request's body does as well as bytes of its own, since it becomes an array at once.
    return Tensor(item.name, item.datatype, item.shape, cast("bytes", raw))
