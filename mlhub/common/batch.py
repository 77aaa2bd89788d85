"""The messages between the gateway and a predict pool: one batch out, one reply back.

A batch holds the rows of many requests, stacked. Its reply is split again by the same sizes.
"""

from typing import Final, Self

import msgspec

from mlhub.common.errors import BY_CODE, BackendError
from mlhub.common.tensor import Tensor


class BatchRequest(msgspec.Struct, frozen=True, array_like=True):
    """One call to a model server on behalf of many requests."""

    model: str
    """Name of the model."""
    deployment: str
    """Name under which the model server has the version."""
    inputs: tuple[Tensor, ...]
    """Stacked inputs: the first extent of each is the sum of `sizes`, unless there is one request only."""
    sizes: tuple[int, ...]
    """Rows of each request, in order."""
    outputs: tuple[str, ...] = ()
    """Names of the outputs to return; empty means the model's default."""
    requests: str = ""
    """Ids of the requests, in order, as `logs.joined` writes them."""
    trace: str = ""
    """The span of the message, as `mlhub.common.tracecontext` writes it; empty without traces."""


class Part(msgspec.Struct, frozen=True, array_like=True):
    """The answer to some consecutive requests of a batch: outputs, or one error."""

    count: int
    """How many requests it answers."""
    outputs: tuple[Tensor, ...] = ()
    """Stacked outputs of these requests."""
    code: str = ""
    """Code of the error; empty when there is none."""
    detail: str = ""
    """The error's sentence."""
    brief: str = ""
    """The same without anybody else's words; see `MLHubError`."""

    @classmethod
    def failed(cls, count: int, error: BackendError) -> Self:
        """Make the answer to requests that failed."""
        brief = "" if error.brief == error.detail else error.brief
        return cls(count, code=error.code, detail=error.detail, brief=brief)

    def error(self) -> BackendError:
        """Return the error that this part carries, of the family that its code names."""
        return BY_CODE.get(self.code, BackendError)(self.detail, code=self.code, brief=self.brief)


class BatchReply(msgspec.Struct, frozen=True, array_like=True):
    """What became of a batch: parts that answer all of its requests, in order."""

    parts: tuple[Part, ...]
    backend_time: float
    """Seconds spent in calls to the model server."""


class Probe(msgspec.Struct, frozen=True, array_like=True):
    """What a predict pool says of its model server."""

    healthy: bool
    detail: str = ""
    """Why not, when it is not."""


REQUEST: Final = msgspec.msgpack.Decoder(BatchRequest)
REPLY: Final = msgspec.msgpack.Decoder(BatchReply)
PROBE: Final = msgspec.msgpack.Decoder(Probe)
ENCODER: Final = msgspec.msgpack.Encoder()
