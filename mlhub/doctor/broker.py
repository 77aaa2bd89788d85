"""RabbitMQ: its version, and the queues of each backend."""

import socket
from collections.abc import Iterator
from typing import Any, Final

from amqp.exceptions import AccessRefused, ChannelError, NotAllowed, NotFound, PreconditionFailed
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.exceptions import OperationalError

from mlhub.common import topology
from mlhub.common.settings import Settings
from mlhub.common.words import counted
from mlhub.doctor.finding import Finding, bad, good, place, warning

_WHAT: Final = "broker"
_OLDEST: Final = (3, 10)


def look_at_broker(settings: Settings) -> Iterator[Finding]:
    """Look at the broker itself, then at the queues."""
    connection = Connection(settings.broker_url, connect_timeout=3)
    try:
        connection.ensure_connection(max_retries=1, interval_start=0)
    except AccessRefused:
        yield bad(
            _WHAT,
            "It lets the hub's user not in.",
            "Correct name and password in MLHUB_BROKER_URL, or the user's rights on the virtual host.",
        )
    except (OperationalError, OSError, *connection.connection_errors) as error:
        yield _away(error, settings.broker_url)
    else:
        yield _version(connection.connection.server_properties)
        for backend in settings.backends:
            yield _pool(connection, backend, "predict", topology.predict_queue(backend))
            for queue in topology.job_queues(backend):
                yield _pool(connection, backend, "jobs", queue)
        yield _dead(connection)
    finally:
        connection.release()


def _away(error: Exception, url: str) -> Finding:
    """Tell why there is no connection, as far as that can be known."""
    cause = error.__cause__ or error
    if isinstance(cause, NotAllowed):
        return bad(
            _WHAT,
            f"It has no such virtual host, or keeps the hub's user out of it: {cause.reply_text}.",
            "Correct the end of MLHUB_BROKER_URL, or make it: rabbitmqctl add_vhost and set_permissions.",
        )
    if isinstance(cause, socket.gaierror):
        return bad(_WHAT, f"The name of {place(url)} is unknown.", "Correct MLHUB_BROKER_URL.")
    return bad(_WHAT, f"It does not answer at {place(url)}.", "Start RabbitMQ, or correct MLHUB_BROKER_URL.")


def _version(server: dict[str, Any]) -> Finding:
    product, version = str(server.get("product", "")), str(server.get("version", ""))
    if product != "RabbitMQ":
        return warning(_WHAT, f"It is {product or 'unknown'}.", "Use RabbitMQ; nothing else is tested.")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < _OLDEST:
        return bad(_WHAT, f"It is RabbitMQ {version}.", "Upgrade it to RabbitMQ 3.10 or newer, best 4.")
    return good(_WHAT, f"It answers, and is RabbitMQ {version}.")


def _pool(connection: Connection, backend: str, kind: str, queue: Queue) -> Finding:
    what = f"queue {queue.name}"
    start = f"mlhub worker --backend {backend} --kind {kind}"
    try:
        with connection.channel() as channel:
            found = channel.queue_declare(queue.name, passive=True)
    except NotFound:
        return bad(what, "It is not there: no worker has ever started.", f"Start one: {start}")
    except ChannelError as error:
        return bad(what, f"RabbitMQ refuses to show it: {error}.", "Give the hub's user all rights to it.")
    try:
        # It is there, so that declaring it compares its arguments and makes nothing.
        with connection.channel() as channel:
            queue(channel).queue_declare()
    except PreconditionFailed as error:
        return bad(
            what,
            f"It has other arguments than this version of MLHub gives it: {error.reply_text}.",
            f"When it is empty, delete it (rabbitmqctl delete_queue {queue.name}) and start workers again.",
        )
    if not found.consumer_count:
        return bad(what, f"No worker takes from it; {_waiting(found.message_count)}.", f"Start one: {start}")
    workers = counted(found.consumer_count, "worker takes", "workers take")
    return good(what, f"{workers} from it; {_waiting(found.message_count)}.")


def _waiting(messages: int) -> str:
    return counted(messages, "message waits", "messages wait")


def _dead(connection: Connection) -> Finding:
    what = f"queue {topology.DEAD.name}"
    try:
        with connection.channel() as channel:
            count = int(channel.queue_declare(topology.DEAD.name, passive=True).message_count)
    except ChannelError:
        return warning(what, "It is not there: no job worker has started.", "Start one for each backend.")
    if count:
        return warning(
            what,
            f"{counted(count, 'message')} could not be worked off.",
            "Look at them (mlhub dead list) and at the logs of job workers; then mlhub dead retry, or empty.",
        )
    return good(what, "No message has ended there.")
