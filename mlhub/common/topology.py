"""The names of the wire, once: queues, exchange, tasks, and the Celery settings both ends share."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from celery import Celery
from kombu import serialization
from kombu.entity import Exchange, Queue

PREDICT: Final = "mlhub.predict"
"""Task: some batches, one call to the model server for each. Arguments: encoded `BatchRequest`s."""
PROBE: Final = "mlhub.probe"
"""Task: ask the model server whether it is well. No argument."""
JOB_PREDICT: Final = "mlhub.job.predict"
"""Task: asynchronous predictions. Argument: a list of the names of their groups."""
JOB_BULK: Final = "mlhub.job.bulk"
"""Task: a chunk of a bulk prediction. Argument: a turn, as `mlhub.common.bulk` makes it."""
JOB_VALIDATE: Final = "mlhub.job.validate"
"""Task: check and deploy an uploaded version. Argument: its deployment."""
JOB_REMOVE: Final = "mlhub.job.remove"
"""Task: take a removed version from its model server. Argument: its deployment."""

EXCHANGE: Final = Exchange("mlhub", type="direct", durable=True)
DEAD: Final = Queue(
    "mlhub.dead",
    Exchange("mlhub.dead", type="fanout", durable=True),
    durable=True,
    queue_arguments={"x-queue-type": "quorum"},
)
"""Where messages end that could not be worked off."""

EVENTS: Final = Exchange("celeryev", type="topic")
"""Where Celery's workers give their signs of life, and the API's processes theirs."""
WORKER_EVENTS: Final = "worker.#"
"""Binding for those of workers; the keys are Celery's own."""
API_HEARTBEAT: Final = "api.heartbeat"
"""Routing key of those of the API."""

PREDICT_MAX_LENGTH: Final = 2000
"""Batches that may wait in a predict queue; beyond that publishers are refused."""
DELIVERY_LIMIT: Final = 5
"""How often a job's message may be delivered before it goes to `DEAD`."""

TRANSIENT: Final = 1
PERSISTENT: Final = 2
"""AMQP's delivery modes: gone with the broker, or kept on its disk."""

SERIALIZER: Final = "mlhub-msgpack"
CONTENT_TYPE: Final = "application/x-msgpack"


def predict_queue_name(backend: str) -> str:
    """Name the queue of a backend's predict pool."""
    return f"mlhub.{backend}.predict"


def jobs_queue_name(backend: str) -> str:
    """Name the queue of a backend's job pool."""
    return f"mlhub.{backend}.jobs"


def backlog_queue_name(backend: str) -> str:
    """Name the queue of what a backend's job pool does by turns: pieces of long lanes, and of files."""
    return f"mlhub.{backend}.backlog"


def predict_queue(backend: str) -> Queue:
    """Return the queue of a backend's predict pool.

    Its messages are transient and short-lived: whoever sent one still waits for the answer and sends it
    again when the broker lost it. The queue itself is durable, since RabbitMQ 4 allows nothing else.
    """
    name = predict_queue_name(backend)
    return Queue(
        name,
        EXCHANGE,
        routing_key=name,
        durable=True,
        queue_arguments={"x-max-length": PREDICT_MAX_LENGTH, "x-overflow": "reject-publish"},
    )


def jobs_queue(backend: str) -> Queue:
    """Return the queue of a backend's job pool: replicated, and with a limit to redelivery."""
    return _lasting(jobs_queue_name(backend))


def backlog_queue(backend: str) -> Queue:
    """Return the queue of what takes turns, which is like that of jobs; nothing else waits behind it."""
    return _lasting(backlog_queue_name(backend))


def job_queue_name(task: str, backend: str) -> str:
    """Name the queue on which a task for a backend's job pool goes by itself."""
    return backlog_queue_name(backend) if task == JOB_BULK else jobs_queue_name(backend)


def _lasting(name: str) -> Queue:
    return Queue(
        name,
        EXCHANGE,
        routing_key=name,
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": DEAD.exchange.name,
        },
    )


def backend_queues(backend: str) -> tuple[Queue, ...]:
    """Return all queues with work for a backend."""
    return predict_queue(backend), *job_queues(backend)


def job_queues(backend: str) -> tuple[Queue, ...]:
    """Return those that its job pool takes from."""
    return jobs_queue(backend), backlog_queue(backend)


def traced(queue: str, operation: str) -> dict[str, str]:
    """Return the attributes of a span about a message, as OpenTelemetry's conventions name them."""
    return {
        "messaging.system": "rabbitmq",
        "messaging.destination.name": queue,
        "messaging.operation.type": operation,
    }


def task_headers(identity: str, task: str, expires_in: float | None) -> dict[str, Any]:
    """Return the headers of a task message: Celery's protocol 2, as `app.amqp.as_task_v2` makes them.

    Texts of the arguments stay empty: computing them from tensors would cost more than all the rest.
    """
    expires = None if expires_in is None else datetime.now(UTC) + timedelta(seconds=expires_in)
    return {
        "lang": "py",
        "task": task,
        "id": identity,
        "root_id": identity,
        "parent_id": None,
        "group": None,
        "shadow": None,
        "eta": None,
        "expires": None if expires is None else expires.isoformat(),
        "retries": 0,
        "timelimit": [None, None],
        "argsrepr": "",
        "kwargsrepr": "",
        "ignore_result": expires_in is None,
    }


def task_body(arguments: Sequence[Any]) -> bytes:
    """Return the body of a task message: its arguments, in protocol 2 of Celery."""
    return _ENCODER.encode((arguments, {}, _NOTHING_AFTER))


_ENCODER: Final = msgspec.msgpack.Encoder()
_NOTHING_AFTER: Final = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def celery_app(broker_url: str, **options: Any) -> Celery:
    """Make a Celery application that speaks MLHub's format; `options` add to its settings."""
    _register_serializer()
    app = Celery("mlhub", broker=broker_url, backend="rpc://", set_as_current=False)
    app.conf.update(
        task_serializer=SERIALIZER,
        result_serializer=SERIALIZER,
        accept_content=[CONTENT_TYPE],
        result_accept_content=[CONTENT_TYPE],
        task_default_exchange=EXCHANGE.name,
        task_default_exchange_type=EXCHANGE.type,
        task_create_missing_queues=False,
        task_acks_late=True,
        task_store_errors_even_if_ignored=False,
        task_send_sent_event=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        enable_utc=True,
        **options,
    )
    return app


def _register_serializer() -> None:
    # msgspec's msgpack keeps bytes as bytes and needs no further package.
    serialization.register(
        SERIALIZER,
        msgspec.msgpack.encode,
        msgspec.msgpack.decode,
        content_type=CONTENT_TYPE,
        content_encoding="binary",
    )
