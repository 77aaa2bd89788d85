"""Looking at queues through RabbitMQ's management API, which knows rates and what workers hold."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec
import requests
from kombu.connection import Connection

from mlhub.common.errors import UnavailableError
from mlhub.common.operations import QueueState
from mlhub.common.sampling.base import owners

_TIMEOUT: Final = (1.0, 2.0)
"""Seconds that connecting and an answer may take."""
_PREFIX: Final = "mlhub."
"""How names of the hub's queues begin, also those of backends that are configured no more."""
_COLUMNS: Final = (
    "name,messages_ready,messages_unacknowledged,consumers,head_message_timestamp,"
    "message_stats.publish_details.rate,message_stats.deliver_get_details.rate"
)


class Access(msgspec.Struct, frozen=True):
    """Where the management API is, and as whom to ask it."""

    url: str
    """Base address."""
    virtual_host: str
    """That of the hub, as a part of paths."""
    user: str
    password: str

    @classmethod
    def of(cls, url: str, broker_url: str) -> "Access":
        """Read the two addresses; without a name in the first one, name and password are the broker's."""
        broker = Connection(broker_url)
        parts = urlsplit(url)
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        if parts.username is None:
            user, password = broker.userid or "guest", broker.password or "guest"
        else:
            user, password = parts.username, parts.password or ""
        return cls(urlunsplit(bare).rstrip("/"), quote(broker.virtual_host or "/", safe=""), user, password)

    def session(self) -> requests.Session:
        """Return a session to ask with."""
        session = requests.Session()
        # The environment's proxies and passwords are not meant for the broker.
        session.trust_env = False
        session.auth = (self.user, self.password)
        return session


class _Rate(msgspec.Struct, frozen=True):
    rate: float = 0.0


class _Stats(msgspec.Struct, frozen=True):
    publish_details: _Rate = _Rate()
    deliver_get_details: _Rate = _Rate()


class _Queue(msgspec.Struct, frozen=True):
    """A queue as the API has it; a new one has no numbers yet."""

    name: str
    messages_ready: int | None = None
    messages_unacknowledged: int | None = None
    consumers: int | None = None
    head_message_timestamp: int | str | None = None
    """When the message that is next was published, in seconds since 1970; not for queues of every kind."""
    message_stats: _Stats = _Stats()


_ANSWER: Final = msgspec.json.Decoder(list[_Queue])


class ManagementSampler:
    """Asks the management API once for all queues."""

    def __init__(self, url: str, broker_url: str, backends: Sequence[str]) -> None:
        """Remember where to ask.

        Args:
            url: base address of the API; with name and password, or else with those of the broker's URL.
            broker_url: names the virtual host.
            backends: those of the hub.
        """
        access = Access.of(url, broker_url)
        self._address = f"{access.url}/api/queues/{access.virtual_host}"
        self._session = access.session()
        self._owners = owners(backends)

    def sample(self) -> list[QueueState]:
        """Ask for all queues; one that was never declared is empty."""
        try:
            response = self._session.get(self._address, params={"columns": _COLUMNS}, timeout=_TIMEOUT)
            response.raise_for_status()
            found = {queue.name: queue for queue in _ANSWER.decode(response.content)}
        except (requests.RequestException, msgspec.DecodeError, UnicodeDecodeError) as error:
            # Without its text, which may have the address with a password in it.
            status = error.response.status_code if isinstance(error, requests.HTTPError) else None
            what = "does not answer" if status is None else f"answers {status}"
            raise UnavailableError(
                f"The broker's management API {what}.", code="broker_unavailable", retry_after=2
            ) from error
        time = datetime.now(UTC)
        names = dict(self._owners)
        names |= {name: None for name in sorted(found) if name.startswith(_PREFIX) and name not in names}
        return [_state(found.get(name) or _Queue(name), backend, time) for name, backend in names.items()]

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def _state(queue: _Queue, backend: str | None, time: datetime) -> QueueState:
    ready = queue.messages_ready or 0
    age = None if ready else 0.0
    if ready and isinstance(queue.head_message_timestamp, int):
        age = max(0.0, time.timestamp() - queue.head_message_timestamp)
    return QueueState(
        name=queue.name,
        backend=backend,
        ready=ready,
        unacknowledged=queue.messages_unacknowledged or 0,
        consumers=queue.consumers or 0,
        publish_rate=queue.message_stats.publish_details.rate,
        deliver_rate=queue.message_stats.deliver_get_details.rate,
        oldest_age=age,
        sampled_at=time,
    )
