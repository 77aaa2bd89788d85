"""Traces of requests on their way through a hub, as a collector gets them over its socket."""

import gzip
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent

from tests.integration.conftest import START, Hub

TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
PARENT: Final = "b7ad6b7169203331"
RECORDED: Final = f"00-{TRACE}-{PARENT}-01"


class Seen(msgspec.Struct, frozen=True):
    """A span as it was sent."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
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


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced(make_running_hub: Any, digits: Any, collector: Collector) -> Iterator[Hub]:
    """A hub that sends traces; one process of the API, so that requests meet in a batch."""
    variables = {
        "MLHUB_DATABASE": "traced",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",
    }
    with make_running_hub("traced", **variables) as hub:
        hub.publish("digits", digits.bundle)
        yield hub


def predict(hub: Hub, digits: Any, traceparent: str, **headers: str) -> Any:
    return hub.call(
        "POST",
        "/model/digits/predict",
        json={"input": digits.rows[0].tolist()},
        headers={"traceparent": traceparent, **headers},
    )


def one(spans: Sequence[Seen], service: str, name: str) -> Seen:
    (found,) = [span for span in spans if (span.service, span.name) == (service, name)]
    return found


def test_a_prediction_is_one_trace_through_all_parts(traced: Hub, collector: Collector, digits: Any) -> None:
    answer = predict(traced, digits, RECORDED, **{"X-Request-ID": "in-a-trace"})
    assert answer.status_code == 200, answer.text
    spans = collector.of(TRACE, 6)
    queue = "mlhub.traced-sklearn.predict"
    request = one(spans, "mlhub-api", "POST /model/{name}/predict")
    sent = one(spans, "mlhub-api", f"send {queue}")
    processed = one(spans, "mlhub-predict", f"process {queue}")
    call = one(spans, "mlhub-predict", "predict")
    served = one(spans, "mlhub-server", "POST /v2/models/{model}/versions/{version}/infer")
    inference = one(spans, "mlhub-server", "inference")

    way = [request, sent, processed, call, served, inference]
    assert [span.parent for span in way] == [PARENT, *(span.id for span in way[:-1])]
    assert [span.kind for span in way] == ["SERVER", "PRODUCER", "CONSUMER", "CLIENT", "SERVER", "INTERNAL"]
    assert not any(span.failed for span in way)
    assert request.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": "/model/{name}/predict",
        "mlhub.request_id": "in-a-trace",
        "url.path": "/model/digits/predict",
        "url.scheme": "http",
    }
    assert sent.attributes.items() >= {
        "messaging.system": "rabbitmq", "messaging.destination.name": queue, "mlhub.requests": 1
    }.items()  # fmt: skip
    assert call.attributes["mlhub.model"] == "digits"


def test_a_batch_is_linked_to_each_of_its_requests(traced: Hub, collector: Collector, digits: Any) -> None:
    traces = [f"{number:032x}" for number in range(1, 65)]
    with ThreadPoolExecutor(64) as pool:
        ask = lambda trace: predict(traced, digits, f"00-{trace}-{PARENT}-01").status_code  # noqa: E731
        assert set(pool.map(ask, traces)) == {200}

    def asked() -> set[str]:
        return {
            span.id
            for span in collector.spans
            if span.trace in traces and span.name.startswith("POST /model/")
        }

    traced.wait_until(lambda: len(asked()) == 64, "a span for each request")

    def linked() -> set[str]:
        batches = [span for span in collector.spans if span.trace in traces and span.kind == "PRODUCER"]
        assert all(span.attributes["mlhub.requests"] == max(1, len(span.links)) for span in batches)
        return {link for span in batches for link in span.links or (span.parent,)}

    traced.wait_until(lambda: linked() == asked(), "a batch for each request")
    together = [span for span in collector.spans if span.trace in traces and len(span.links) > 1]
    assert together, "64 requests at once, and none shared a message"
    assert all(span.parent in span.links for span in together)


def test_a_job_belongs_to_the_request_that_ordered_it(traced: Hub, collector: Collector, digits: Any) -> None:
    trace = f"{4711:032x}"
    answer = predict(traced, digits, f"00-{trace}-{PARENT}-01", Prefer="respond-async, wait=120")
    assert answer.json()["status"] == "succeeded"
    spans = collector.of(trace, 5)
    request = one(spans, "mlhub-api", "POST /model/{name}/predict")
    job = one(spans, "mlhub-jobs", "process mlhub.traced-sklearn.jobs")
    assert (job.parent, job.kind) == (request.id, "CONSUMER")
    assert one(spans, "mlhub-jobs", "predict").parent == job.id
    assert one(spans, "mlhub-server", "inference").trace == trace


def test_a_failure_is_seen_in_its_trace(traced: Hub, collector: Collector, digits: Any) -> None:
    trace = f"{4712:032x}"
    server = traced.parts["server"]
    server.stop()
    try:
        assert predict(traced, digits, f"00-{trace}-{PARENT}-01").status_code == 502
    finally:
        server.start()
    spans = collector.of(trace, 4)
    failed = {span.name: span.attributes["error.type"] for span in spans if span.failed}
    assert failed == {"POST /model/{name}/predict": "502", "predict": "backend_unreachable"}
    traced.wait_until(lambda: predict(traced, digits, "").status_code == 200, "predictions")


def test_what_is_not_sampled_and_what_watches_makes_no_spans(
    traced: Hub, collector: Collector, digits: Any
) -> None:
    for traceparent in ("", "nonsense", f"00-{5000:032x}-{PARENT}-00"):
        assert predict(traced, digits, traceparent).status_code == 200
    for path in ("/health/ready", "/metrics", "/monitor"):
        headers = {"traceparent": f"00-{5000:032x}-{PARENT}-01"}
        assert traced.call("GET", path, headers=headers).status_code == 200
    trace = f"{5001:032x}"
    assert (
        traced.call("GET", "/nothing", headers={"traceparent": f"00-{trace}-{PARENT}-01"}).status_code == 404
    )
    (after,) = collector.of(trace, 1)
    assert after.name == "GET"
    known = {TRACE, trace, *(f"{number:032x}" for number in (*range(1, 65), 4711, 4712))}
    assert {span.trace for span in collector.spans} <= known


def test_a_process_that_ends_sends_what_it_has(
    make_running_hub: Any, collector: Collector, digits: Any
) -> None:
    variables = {
        "MLHUB_DATABASE": "traced_end",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/v1/traces",
        "OTEL_SERVICE_NAME": "ending",
        # Longer than the test: what comes, comes at the end.
        "OTEL_BSP_SCHEDULE_DELAY": "600000",
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",
    }
    trace = f"{6000:032x}"
    with make_running_hub("traced-end", **variables) as hub:
        hub.publish("digits", digits.bundle)
        assert predict(hub, digits, f"00-{trace}-{PARENT}-01").status_code == 200
        assert not [span for span in collector.spans if span.trace == trace]
    spans = collector.of(trace, 6)
    assert {span.service for span in spans} == {"ending"}
    assert len(spans) == 6
