"""What the hub measures: all families of numbers, once, with names after Prometheus' conventions.

No label has the name of a model, a user or an address: the number of series does not grow with what is
served. `process` is added to what single processes count.
"""

from enum import StrEnum
from typing import Final

import msgspec


class Kind(StrEnum):
    """How a number behaves."""

    COUNTER = "counter"
    """It only grows, until its process ends."""
    GAUGE = "gauge"
    """It goes up and down."""
    HISTOGRAM = "histogram"
    """How often values fell into which ranges."""


class Family(msgspec.Struct, frozen=True):
    """Numbers of one meaning."""

    name: str
    """As Prometheus shows it; that of a counter ends with `_total`."""
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    """Of a histogram, the upper ends of its ranges."""


_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_COUNTS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)

HTTP_REQUESTS: Final = "mlhub_http_requests_total"
HTTP_TIME: Final = "mlhub_http_request_duration_seconds"
PENDING: Final = "mlhub_predictions_in_flight"
BATCHES_PENDING: Final = "mlhub_batches_in_flight"
BATCH_REQUESTS: Final = "mlhub_batch_requests"
BATCH_ROWS: Final = "mlhub_batch_rows"
QUEUE_WAIT: Final = "mlhub_queue_wait_seconds"
BUNDLE_BYTES: Final = "mlhub_bundle_bytes_total"
CALLS: Final = "mlhub_backend_calls_total"
CALL_TIME: Final = "mlhub_backend_call_duration_seconds"
RETRIES: Final = "mlhub_job_retries_total"
SERVER_REQUESTS: Final = "mlhub_server_requests_total"
SERVER_TIME: Final = "mlhub_server_request_duration_seconds"
SERVER_MODELS: Final = "mlhub_server_loaded_models"

_COUNTED: Final = (
    Family(HTTP_REQUESTS, Kind.COUNTER, "Requests answered.", ("route", "method", "status")),
    Family(HTTP_TIME, Kind.HISTOGRAM, "Seconds from a request's head to its answer.", ("route",), _SECONDS),
    Family(PENDING, Kind.GAUGE, "Predictions that clients wait for now."),
    Family(BATCHES_PENDING, Kind.GAUGE, "Batches sent that have no reply yet."),
    Family(BATCH_REQUESTS, Kind.HISTOGRAM, "Requests that shared a batch.", ("backend",), _COUNTS),
    Family(BATCH_ROWS, Kind.HISTOGRAM, "Rows of a batch.", ("backend",), _COUNTS),
    Family(
        QUEUE_WAIT,
        Kind.HISTOGRAM,
        "Seconds between sending a batch and its reply that the model server did not take.",
        ("backend",),
        _SECONDS,
    ),
    Family(BUNDLE_BYTES, Kind.COUNTER, "Bytes of bundles moved.", ("direction",)),
    Family(CALLS, Kind.COUNTER, "Calls of workers to model servers.", ("backend", "call", "outcome")),
    Family(
        CALL_TIME,
        Kind.HISTOGRAM,
        "Seconds that such a call took.",
        ("backend", "call"),
        _SECONDS,
    ),
    Family(RETRIES, Kind.COUNTER, "Jobs that failed and are tried again.", ("backend",)),
    Family(SERVER_REQUESTS, Kind.COUNTER, "Inference requests to a model server.", ("outcome",)),
    Family(
        SERVER_TIME,
        Kind.HISTOGRAM,
        "Seconds that an inference request took.",
        (),
        _SECONDS,
    ),
    Family(SERVER_MODELS, Kind.GAUGE, "Versions that a model server has in memory."),
)

BUILD: Final = "mlhub_build_info"
PART_UP: Final = "mlhub_part_up"
BACKEND_UP: Final = "mlhub_backend_up"
READY: Final = "mlhub_queue_messages_ready"
UNACKNOWLEDGED: Final = "mlhub_queue_messages_unacknowledged"
CONSUMERS: Final = "mlhub_queue_consumers"
OLDEST: Final = "mlhub_queue_oldest_message_age_seconds"
POOL: Final = "mlhub_pool_processes"
POOL_DESIRED: Final = "mlhub_pool_desired_processes"
MEMORY: Final = "mlhub_process_memory_bytes"
STARTED: Final = "mlhub_process_start_time_seconds"
ACTIVE: Final = "mlhub_worker_active_messages"
CONCURRENCY: Final = "mlhub_worker_concurrency"
PROCESSED: Final = "mlhub_worker_messages_total"

_OBSERVED: Final = (
    Family(BUILD, Kind.GAUGE, "What runs; the value is always 1.", ("version", "python")),
    Family(PART_UP, Kind.GAUGE, "Whether a part is well.", ("part",)),
    Family(BACKEND_UP, Kind.GAUGE, "Whether a model server answers.", ("backend",)),
    Family(READY, Kind.GAUGE, "Messages that wait for a worker.", ("queue",)),
    Family(UNACKNOWLEDGED, Kind.GAUGE, "Messages that workers hold.", ("queue",)),
    Family(CONSUMERS, Kind.GAUGE, "Workers that take messages from a queue.", ("queue",)),
    Family(OLDEST, Kind.GAUGE, "Seconds that the oldest waiting message has waited.", ("queue",)),
    Family(POOL, Kind.GAUGE, "Processes of a pool.", ("backend", "kind")),
    Family(POOL_DESIRED, Kind.GAUGE, "Processes that a pool should have.", ("backend", "kind")),
    Family(MEMORY, Kind.GAUGE, "Bytes of memory of a process.", ("kind", "backend")),
    Family(STARTED, Kind.GAUGE, "When a process started, in seconds since 1970.", ("kind", "backend")),
    Family(ACTIVE, Kind.GAUGE, "Messages that a worker works on.", ("kind", "backend")),
    Family(CONCURRENCY, Kind.GAUGE, "Messages that a worker works on at most.", ("kind", "backend")),
    Family(PROCESSED, Kind.COUNTER, "Messages that a worker has begun.", ("kind", "backend")),
)

FAMILIES: Final = {family.name: family for family in (*_COUNTED, *_OBSERVED)}
"""All families by name."""
