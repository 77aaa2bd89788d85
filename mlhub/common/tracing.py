"""Traces: which parts of the hub a request went through, and when, for whatever collects OpenTelemetry's.

Nothing of it is done, and none of its libraries imported, unless OpenTelemetry's own variables name an
exporter. What passes from part to part is a string: see `mlhub.common.tracecontext`.
"""

import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import Final, Protocol

from mlhub.common.errors import MLHubError
from mlhub.common.settings import SettingsError

TRACEPARENT: ContextVar[str] = ContextVar("traceparent", default="")
"""The span that this context works within, as `mlhub.common.tracecontext` writes it; empty outside of any."""

Attributes = Mapping[str, str | int]

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL: Final = "http/protobuf"
_NEEDS: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


class Kind(StrEnum):
    """What a span is to those around it."""

    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"
    INTERNAL = "INTERNAL"


class Span(Protocol):
    """Something that takes time, from where it was begun."""

    @property
    def traceparent(self) -> str:
        """What tells others that they work within it: see `mlhub.common.tracecontext`."""

    def rename(self, name: str) -> None:
        """Give it the name that it could not have at its begin."""

    def note(self, attributes: Attributes) -> None:
        """Add what became known."""

    def end(self, error: str = "") -> None:
        """End it, the first time; `error` says what went wrong."""


class Tracing(Protocol):
    """Makes spans, and sends them to where they are collected."""

    def begin(self, name: str, kind: Kind, parents: Sequence[str], attributes: Attributes) -> Span:
        """Begin a span.

        Args:
            name: of few different ones.
            kind: what it is to others.
            parents: the spans that it is done for, as `Span.traceparent` has them; empty ones and nonsense do
                not count. It belongs to the first that is recorded, and takes over its `tracestate`; where
                there are several, it is linked to all of them.
            attributes: as OpenTelemetry's semantic conventions name them.
        """

    def close(self) -> None:
        """Send what is left; to be called once, at the end of the process."""


def is_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether OpenTelemetry's variables name an exporter for traces."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter:
        return exporter != "none"
    return any(environment.get(name, "").strip() for name in _ENDPOINTS)


def check(environment: Mapping[str, str] = os.environ) -> None:
    """Find out whether traces can be sent, if they are to be, before processes start that need to.

    Raises:
        SettingsError: they cannot; the sentence says what to do.
    """
    if not is_wanted(environment):
        return
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter not in {"", "otlp", "console"}:
        raise SettingsError(f"OTEL_TRACES_EXPORTER is {exporter}; the hub has otlp, console and none.")
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), _PROTOCOL)
    if exporter != "console" and protocol != _PROTOCOL:
        raise SettingsError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}; the hub sends {_PROTOCOL}, which collectors take on "
            "port 4318."
        )
    if not all(_is_installed(name) for name in _NEEDS):
        raise SettingsError(
            "OpenTelemetry's variables ask for traces, and its packages are not installed: "
            "pip install 'mlhub[traces]', or set OTEL_TRACES_EXPORTER=none."
        )


def create_tracing(part: str) -> Tracing | None:
    """Return what makes this process's spans; nothing unless they are wanted.

    To be called in the process that makes them: what sends them does not survive a fork.

    Args:
        part: the name of the service, where `OTEL_SERVICE_NAME` gives none.

    Raises:
        SettingsError: they are wanted, and cannot be sent.
    """
    if not is_wanted():
        return None
    check()
    from mlhub.common.spans import OpenTelemetry  # noqa: PLC0415 (it takes its time to import)

    return OpenTelemetry(part)


@contextmanager
def spanning(
    tracing: Tracing | None,
    name: str,
    kind: Kind,
    attributes: Attributes,
    parents: Sequence[str] | None = None,
) -> Iterator[None]:
    """Make a span of a block, within which others begin theirs; nothing where there are no traces.

    Args:
        tracing: what makes it.
        name: see `Tracing.begin`.
        kind: the same.
        attributes: the same.
        parents: the same; without any, the span that the block is in.
    """
    if tracing is None:
        yield
        return
    span = tracing.begin(name, kind, [TRACEPARENT.get()] if parents is None else parents, attributes)
    token = TRACEPARENT.set(span.traceparent)
    error = ""
    try:
        yield
    except BaseException as failure:
        error = failure.code if isinstance(failure, MLHubError) else type(failure).__name__
        raise
    finally:
        TRACEPARENT.reset(token)
        span.end(error)


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
