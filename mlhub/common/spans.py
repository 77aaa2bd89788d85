"""Spans by OpenTelemetry's own library. Imported only where traces are wanted: see `mlhub.common.tracing`."""

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import mlhub
from mlhub.common import tracecontext
from mlhub.common.tracing import Attributes, Kind

_KINDS: Final = {kind: getattr(trace.SpanKind, kind.value) for kind in Kind}
_W3C: Final = TraceContextTextMapPropagator()


class OpenTelemetrySpan:
    """A span that the library makes."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: Any) -> None:
        self._span = span
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, trace.set_span_in_context(span, Context()))
        state = carrier.get(tracecontext.STATE)
        self.traceparent = tracecontext.written(
            carrier.get(tracecontext.PARENT, ""), () if state is None else (state,)
        )

    def rename(self, name: str) -> None:
        """Give it another name."""
        self._span.update_name(name)

    def note(self, attributes: Attributes) -> None:
        """Add attributes."""
        self._span.set_attributes(attributes)

    def end(self, error: str = "") -> None:
        """End it, the first time."""
        # One that is not recorded takes all of this without effect.
        span, self._span = self._span, trace.INVALID_SPAN
        if error:
            span.set_attribute("error.type", error)
            span.set_status(trace.StatusCode.ERROR)
        span.end()


class OpenTelemetry:
    """Makes spans, and sends them in batches from a thread of its own.

    Where to, which ones and how many is what OpenTelemetry's variables say: `OTEL_EXPORTER_OTLP_…`,
    `OTEL_TRACES_SAMPLER`, `OTEL_BSP_…`, `OTEL_RESOURCE_ATTRIBUTES`.
    """

    def __init__(self, part: str) -> None:
        # It repeats what a client sent, where that is no `tracestate`.
        logging.getLogger("opentelemetry.trace.span").setLevel(logging.ERROR)
        exporter = ConsoleSpanExporter() if _is_console() else OTLPSpanExporter()
        self._provider = TracerProvider(resource=_resource(part), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("mlhub", mlhub.__version__)

    def begin(
        self, name: str, kind: Kind, parents: Sequence[str], attributes: Attributes
    ) -> OpenTelemetrySpan:
        """Begin a span; see `mlhub.common.tracing.Tracing`."""
        known = list(_contexts(parents))
        recorded = [context for context in known if context.trace_flags.sampled]
        within = next(iter(recorded or known), None)
        context = Context()
        if within is not None:
            context = trace.set_span_in_context(trace.NonRecordingSpan(within), context)
        links = [trace.Link(other) for other in recorded] if len(known) > 1 else []
        span = self._tracer.start_span(
            name, context, kind=_KINDS[kind], attributes=dict(attributes), links=links
        )
        return OpenTelemetrySpan(span)

    def close(self) -> None:
        """Send what is left, and end the thread."""
        self._provider.shutdown()


def _contexts(parents: Sequence[str]) -> Iterator[Any]:
    """Read what names a span."""
    for parent in parents:
        if parent:
            carrier = tracecontext.headers(parent)
            found = trace.get_current_span(_W3C.extract(carrier, Context())).get_span_context()
            if found.is_valid:
                yield found


def _resource(part: str) -> Any:
    known = {
        "service.namespace": "mlhub",
        "service.version": mlhub.__version__,
        "service.instance.id": f"{os.getpid()}@{socket.gethostname()}",
    }
    described = Resource.create(known)
    # What the variables say goes first; without them the library calls it unknown.
    if "OTEL_SERVICE_NAME" in os.environ or "service.name" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        return described
    return described.merge(Resource({"service.name": part}))


def _is_console() -> bool:
    return os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "console"
