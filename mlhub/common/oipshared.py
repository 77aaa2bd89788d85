"""An extension of the Open Inference Protocol that MLHub's own servers have: several requests in one call.

A call of HTTP costs both sides more than a small model's answer does. Where many models are in use at once,
each request is for another one, so that batching rows does not help; this does. The body is MessagePack:
each request as it would be sent alone, and each answer as it would come alone.
"""

from typing import Annotated, Final

import msgspec

EXTENSION: Final = "shared_calls"
"""Name under which a server lists it in `GET /v2`; such a server takes binary tensors, too."""
PATH: Final = "/v2/infer"
TYPE: Final = "application/msgpack"


class SharedRequest(msgspec.Struct, frozen=True, array_like=True):
    """One inference request."""

    model: str
    version: str | None
    """The newest where none is named."""
    header_length: int | None
    """Length of the JSON part of the body, `None` when all of it is JSON."""
    body: bytes
    requests: str = ""
    """Ids of those that it is made for, for the log, as `mlhub.common.logs.portable` writes them."""


class SharedCall(msgspec.Struct, frozen=True, array_like=True):
    """Requests that have nothing to do with each other."""

    requests: Annotated[tuple[SharedRequest, ...], msgspec.Meta(min_length=1)]
    patience: Annotated[float, msgspec.Meta(gt=0, le=86400)]
    """Seconds after which those that have no answer yet get one that says so."""


class SharedAnswer(msgspec.Struct, frozen=True, array_like=True):
    """What a request of its own would have been answered."""

    status: int
    """Of HTTP."""
    header_length: int | None
    body: bytes
    seconds: float
    """How long the server took for it."""


ENCODER: Final = msgspec.msgpack.Encoder()
CALL: Final = msgspec.msgpack.Decoder(SharedCall)
ANSWERS: Final = msgspec.msgpack.Decoder(tuple[SharedAnswer, ...])
