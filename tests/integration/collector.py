"""A collector of traces, as OpenTelemetry's are: it takes spans over its socket."""

import gzip
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent

from tests.integration.conftest import START


class Seen(msgspec.Struct, frozen=True):
    """A span as it was sent."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    state: str
    """As `tracestate`."""
    links: tuple[str, ...]
    attributes: dict[str, Any]
    failed: bool


class Collector:
    """Takes spans as OpenTelemetry's collectors do."""

    def __init__(self) -> None:
        self._spans: list[Seen] = []
        self._lock = threading.Lock()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path == "/v1/traces":
                    collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, request: Any) -> None:
        """Note what was sent."""
        for resource in request.resource_spans:
            described = values(resource.resource.attributes)
            for scope in resource.scope_spans:
                for span in scope.spans:
                    with self._lock:
                        self._spans.append(seen(described["service.name"], span))

    @property
    def spans(self) -> list[Seen]:
        """All spans so far."""
        with self._lock:
            return list(self._spans)

    def of(self, trace: str, count: int) -> list[Seen]:
        """Wait until a trace has so many spans, and return them."""
        deadline = time.monotonic() + START
        while len(found := [span for span in self.spans if span.trace == trace]) < count:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return found


def seen(service: str, span: Any) -> Seen:
    return Seen(
        service,
        span.name,
        Sent.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.trace_state,
        tuple(link.span_id.hex() for link in span.links),
        values(span.attributes),
        span.status.code == 2,
    )


def values(attributes: Sequence[Any]) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    try:
        yield collector
    finally:
        collector.close()
