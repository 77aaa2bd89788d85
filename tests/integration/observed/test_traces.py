"""Traces of requests on their way through a hub, as a collector gets them over its socket."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import psutil

from mlhub.common import metrics
from tests.integration.collector import Collector, Seen
from tests.integration.conftest import Hub
from tests.integration.telling import ask

TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
PARENT: Final = "b7ad6b7169203331"
RECORDED: Final = f"00-{TRACE}-{PARENT}-01"
STATE: Final = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
"""What callers want passed on."""
UNKNOWN: Final = "a word that the model of words does not know"


def predict(
    hub: Hub, digits: Any, traceparent: str, model: str = "digits", row: Any = None, **headers: str
) -> Any:
    body = {"input": digits.rows[0].tolist() if row is None else row}
    return ask(hub, "POST", f"/model/{model}/predict", {"traceparent": traceparent, **headers}, json=body)


def in_flight(hub: Hub) -> float:
    lines = ask(hub, "GET", "/metrics", {}).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(metrics.PENDING))


def one(spans: Sequence[Seen], service: str, name: str) -> Seen:
    (found,) = [span for span in spans if (span.service, span.name) == (service, name)]
    return found


def test_a_prediction_is_one_trace_through_all_parts(telling: Hub, collector: Collector, digits: Any) -> None:
    answer = predict(telling, digits, RECORDED, **{"X-Request-ID": "in-a-trace", "tracestate": STATE})
    assert answer.status_code == 200, answer.text
    spans = collector.of(TRACE, 6)
    queue = "mlhub.telling-sklearn.predict"
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
    assert {span.state for span in way} == {STATE}
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
    assert served.attributes["mlhub.request_id"] == "in-a-trace"


def test_a_batch_is_linked_to_each_of_its_requests(telling: Hub, collector: Collector, digits: Any) -> None:
    traces = [f"{number:032x}" for number in range(1, 65)]
    asking = lambda trace: predict(telling, digits, f"00-{trace}-{PARENT}-01").status_code  # noqa: E731
    worker = psutil.Process(telling.parts["predict"].pid)
    with ThreadPoolExecutor(64) as pool:
        # While it answers nothing, more come than there are messages on their way.
        worker.suspend()
        try:
            statuses = pool.map(asking, traces)
            telling.wait_until(lambda: in_flight(telling) == 64, "all of them in flight")
        finally:
            worker.resume()
        assert set(statuses) == {200}

    def asked() -> set[str]:
        return {
            span.id
            for span in collector.spans
            if span.trace in traces and span.name.startswith("POST /model/")
        }

    telling.wait_until(lambda: len(asked()) == 64, "a span for each request")

    def linked() -> set[str]:
        batches = [span for span in collector.spans if span.trace in traces and span.kind == "PRODUCER"]
        assert all(span.attributes["mlhub.requests"] == max(1, len(span.links)) for span in batches)
        return {link for span in batches for link in span.links or (span.parent,)}

    telling.wait_until(lambda: linked() == asked(), "a batch for each request")
    together = [span for span in collector.spans if span.trace in traces and len(span.links) > 1]
    assert together, "64 requests at once, and none shared a message"
    assert all(span.parent in span.links for span in together)


def test_a_job_belongs_to_the_request_that_ordered_it(
    telling: Hub, collector: Collector, digits: Any
) -> None:
    trace = f"{4711:032x}"
    headers = {"Prefer": "respond-async, wait=120", "tracestate": STATE}
    answer = predict(telling, digits, f"00-{trace}-{PARENT}-01", **headers)
    assert answer.json()["status"] == "succeeded"
    spans = collector.of(trace, 5)
    request = one(spans, "mlhub-api", "POST /model/{name}/predict")
    job = one(spans, "mlhub-jobs", "process mlhub.telling-sklearn.jobs")
    assert (job.parent, job.kind) == (request.id, "CONSUMER")
    assert one(spans, "mlhub-jobs", "predict").parent == job.id
    assert one(spans, "mlhub-server", "inference").trace == trace
    assert {span.state for span in spans} == {STATE}


def test_a_tracestate_that_is_none_is_not_passed_on(telling: Hub, collector: Collector, digits: Any) -> None:
    trace = f"{4713:032x}"
    nonsense = "no-member-at-all"
    assert predict(telling, digits, f"00-{trace}-{PARENT}-01", tracestate=nonsense).status_code == 200
    assert {span.state for span in collector.of(trace, 6)} == {""}
    assert not any(nonsense in part.log for part in telling.parts.values())


def test_a_failure_is_seen_in_its_trace(telling: Hub, collector: Collector, digits: Any) -> None:
    trace = f"{4712:032x}"
    assert predict(telling, digits, f"00-{trace}-{PARENT}-01", "words", [UNKNOWN]).status_code == 422
    spans = collector.of(trace, 6)
    failed = {span.name: span.attributes["error.type"] for span in spans if span.failed}
    assert failed == {"predict": "backend_refused", "inference": "bad_input"}
    assert UNKNOWN not in str(spans)


def test_what_is_not_sampled_and_what_watches_makes_no_spans(
    telling: Hub, collector: Collector, digits: Any
) -> None:
    for traceparent in ("", "nonsense", f"00-{5000:032x}-{PARENT}-00"):
        assert predict(telling, digits, traceparent).status_code == 200
    for path in ("/health/ready", "/metrics", "/monitor"):
        headers = {"traceparent": f"00-{5000:032x}-{PARENT}-01"}
        assert ask(telling, "GET", path, headers).status_code == 200
    trace = f"{5001:032x}"
    assert ask(telling, "GET", "/nothing", {"traceparent": f"00-{trace}-{PARENT}-01"}).status_code == 404
    (after,) = collector.of(trace, 1)
    assert after.name == "GET"
    known = {TRACE, trace, *(f"{number:032x}" for number in (*range(1, 65), 4711, 4712, 4713))}
    assert {span.trace for span in collector.spans} <= known


def test_a_process_that_ends_sends_what_it_has(telling: Hub, collector: Collector, digits: Any) -> None:
    parts = [telling.parts[name] for name in ("server", "predict", "api")]
    for part in parts:
        part.stop()
        # What comes, comes at the end: until then is longer than the test.
        own = {"OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_SERVICE_NAME": "ending"}
        part.environment = part.environment | own
    for part in parts:
        part.start()
    telling.wait_until_ready()
    trace = f"{6000:032x}"
    assert predict(telling, digits, f"00-{trace}-{PARENT}-01").status_code == 200
    assert not [span for span in collector.spans if span.trace == trace]
    for part in parts:
        part.stop()
    spans = collector.of(trace, 6)
    assert {span.service for span in spans} == {"ending"}
    assert len(spans) == 6
