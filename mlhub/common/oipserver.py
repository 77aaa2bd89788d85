"""What a server of the Open Inference Protocol v2 says of itself and of its models, over REST.

Sources: https://github.com/kserve/open-inference-protocol, and Triton's extension "Model Repository".
"""

import msgspec

from mlhub.common.signature import TensorSpec


class ServerMetadata(msgspec.Struct):
    """The answer to `GET /v2`."""

    name: str
    version: str
    extensions: tuple[str, ...]


class ModelMetadata(msgspec.Struct):
    """The answer to `GET /v2/models/{model}`."""

    name: str
    versions: list[str]
    """Ready ones, newest first, so that the default comes first."""
    platform: str
    """The framework it comes from."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    """The first is what a request gets that names none."""


class IndexRequest(msgspec.Struct):
    """The body of a call for the index of a server's models."""

    ready: bool = False
    """Whether to list only what is ready."""


class IndexEntry(msgspec.Struct, frozen=True):
    """One version in the index."""

    name: str
    version: str
    state: str
    """`READY`, `LOADING` or `UNAVAILABLE`."""
    reason: str = ""
    """Why it is not ready."""
