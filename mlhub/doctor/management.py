"""What RabbitMQ's management API knows besides: alarms, policies that lose work, the broker's clock."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

import msgspec
import requests

from mlhub.common.sampling.management import Access
from mlhub.common.settings import Settings
from mlhub.common.topology import DEAD, backend_queues
from mlhub.doctor.clocks import compare
from mlhub.doctor.finding import Finding, bad, good, place, warning

_WHAT: Final = "management"
_TIMEOUT: Final = (3.0, 10.0)
_LOSING: Final = ("message-ttl", "expires", "max-length", "max-length-bytes")
"""Keys of policies by which a queue drops messages, or itself, without the hub's knowledge."""


class _Queue(msgspec.Struct):
    name: str
    policy: str | None = None
    effective_policy_definition: dict[str, Any] | None = None


class _Node(msgspec.Struct):
    name: str
    mem_alarm: bool = False
    disk_free_alarm: bool = False


def look_at_management(settings: Settings) -> Iterator[Finding]:
    """Look at nodes and at the policies of the hub's queues, where the management API is known."""
    if settings.management_url is None:
        return
    access = Access.of(settings.management_url, settings.broker_url)
    try:
        with access.session() as session:
            answer = session.get(f"{access.url}/api/nodes", timeout=_TIMEOUT)
            answer.raise_for_status()
            nodes = msgspec.json.decode(answer.content, type=list[_Node])
            listed = session.get(f"{access.url}/api/queues/{access.virtual_host}", timeout=_TIMEOUT)
            listed.raise_for_status()
            queues = msgspec.json.decode(listed.content, type=list[_Queue])
    except requests.HTTPError as error:
        yield _refused(error.response.status_code, access)
        return
    except (requests.RequestException, msgspec.DecodeError, UnicodeDecodeError):
        yield warning(
            _WHAT,
            f"RabbitMQ's management API does not answer at {place(access.url)}.",
            "Correct MLHUB_MANAGEMENT_URL, or run: rabbitmq-plugins enable rabbitmq_management",
        )
        return
    yield from _nodes(nodes)
    yield from _policies(settings, queues)
    date = answer.headers.get("Date")
    if date is not None:
        # It has whole seconds only.
        skew = abs((datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()) - 1.0
        yield compare("RabbitMQ", skew)


def _refused(status: int, access: Access) -> Finding:
    """Tell what an answer means that is not what was asked for."""
    if status == HTTPStatus.UNAUTHORIZED:
        return warning(
            _WHAT,
            f"RabbitMQ's management API at {place(access.url)} lets the hub's user not in.",
            "Correct name and password in MLHUB_BROKER_URL or MLHUB_MANAGEMENT_URL, or give the user the tag "
            "'monitoring'.",
        )
    if status == HTTPStatus.NOT_FOUND:
        return warning(
            _WHAT,
            f"What answers at {place(access.url)} is no management API, or lacks the virtual host.",
            "Correct MLHUB_MANAGEMENT_URL, or the end of MLHUB_BROKER_URL.",
        )
    return warning(
        _WHAT,
        f"RabbitMQ's management API at {place(access.url)} answers {status}.",
        "See its log, or correct MLHUB_MANAGEMENT_URL.",
    )


def _nodes(nodes: list[_Node]) -> Iterator[Finding]:
    for node in nodes:
        short = [
            what for what, alarm in (("memory", node.mem_alarm), ("disk", node.disk_free_alarm)) if alarm
        ]
        if short:
            yield bad(
                _WHAT,
                f"Node {node.name} is short of {' and '.join(short)}, and takes no messages.",
                "Give it more, or see why queues are long.",
            )


def _policies(settings: Settings, queues: list[_Queue]) -> Iterator[Finding]:
    names = {queue.name for backend in settings.backends for queue in backend_queues(backend)} | {DEAD.name}
    losing = False
    for queue in queues:
        keys = [key for key in _LOSING if key in (queue.effective_policy_definition or {})]
        if queue.name in names and keys:
            losing = True
            yield warning(
                f"queue {queue.name}",
                f"The policy {queue.policy!r} sets {', '.join(keys)}, so that work may get lost.",
                "Change the policy's pattern so that it does not meet the queues of the hub.",
            )
    if not losing:
        yield good(_WHAT, "No policy makes the hub's queues lose work.")
