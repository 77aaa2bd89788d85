"""The deliverer: calls the webhooks of predictions that have ended.

What is due stands in the documents, so nothing is lost with a process, and any process may take any of it. A
look costs next to nothing, so that a webhook is called at once, whoever ended its prediction.
"""

import logging
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

import mlhub
from mlhub.common import view
from mlhub.common.errors import MLHubError
from mlhub.common.prediction import Prediction
from mlhub.common.webhook import ID, SIGNATURE, TIMESTAMP, Delivery, Webhook, sign
from mlhub.storage.database import now
from mlhub.storage.webhooks import Due, WebhookStore
from mlhub.workers.webhook.call import Caller
from mlhub.workers.webhook.policy import DeliveryPolicy

_LOG = logging.getLogger(__name__)

_MOST: Final = 32
"""Calls at once."""
_MOST_OF_A_HOST: Final = 8
"""Calls of one host at once: one that is slow must leave threads to the others."""
_PAUSE: Final = 0.5
"""Seconds between two looks when there is nothing to do."""
_IDLE: Final = 4
"""Times the length of a look that pass before the next: a long list must not keep the database busy."""
_SLACK: Final = 20.0
"""Seconds of a lease besides those of the call: for resolving, connecting and recording."""
_LARGEST: Final = 1024 * 1024
"""Bytes of a message; a longer one goes without the output."""


class Deliverer:
    """Calls webhooks that are due, in threads of its own."""

    def __init__(
        self,
        webhooks: WebhookStore,
        caller: Caller,
        policy: DeliveryPolicy,
        secrets: tuple[bytes, ...],
        timeout: float,
    ) -> None:
        """Prepare.

        Args:
            webhooks: where they are kept.
            caller: what calls them.
            policy: how often.
            secrets: what messages are signed with.
            timeout: seconds that a call may take.
        """
        self._webhooks = webhooks
        self._caller = caller
        self._policy = policy
        self._secrets = secrets
        self._lease = timedelta(seconds=2 * timeout + _SLACK)
        self._running: Counter[str] = Counter()
        """Calls under way, by host."""
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._freed = threading.Event()
        """Set when a call has ended, and there may be room for another one."""
        self._pool = ThreadPoolExecutor(_MOST, "webhook")
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the calls that are under way."""
        self._stopping.set()
        self._freed.set()
        self._thread.join()
        self._pool.shutdown()

    def look(self) -> int:
        """Begin to call what is due and has room; return how many calls that were.

        Raises:
            UnavailableError: the database is away.
        """
        with self._lock:
            room = _MOST - self._running.total()
            busy = {host for host, count in self._running.items() if count >= _MOST_OF_A_HOST}
        found = self._webhooks.due(busy, room) if room > 0 else []
        return sum(self._begin(due) for due in found)

    def _begin(self, due: Due) -> bool:
        with self._lock:
            if self._stopping.is_set() or self._running[due.host] >= _MOST_OF_A_HOST:
                return False
            self._running[due.host] += 1
        self._pool.submit(self._work, due)
        return True

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._freed.clear()
            started = time.monotonic()
            begun = 0
            try:
                begun = self.look()
            except MLHubError as error:
                _LOG.info("webhooks put off: %s", error)
            except Exception:  # noqa: BLE001 (the edge of this thread: one surprise must not end it)
                _LOG.exception("a look for webhooks failed")
            self._stopping.wait(_IDLE * (time.monotonic() - started))
            if begun == 0:
                # An ended call wakes it up, for more may wait for the same host.
                self._freed.wait(_PAUSE)

    def _work(self, due: Due) -> None:
        try:
            taken = self._webhooks.take(due, self._lease)
            if taken is not None:
                self._deliver(*taken)
        except MLHubError as error:
            _LOG.warning("a webhook was not taken or its call not recorded; it comes again: %s", error)
        except Exception:  # noqa: BLE001 (the edge of this thread: the lease ends, and another one tries)
            _LOG.exception("the webhook of prediction %s failed unexpectedly", due.prediction)
        finally:
            with self._lock:
                self._running[due.host] -= 1
                if not self._running[due.host]:
                    del self._running[due.host]
            self._freed.set()

    def _deliver(self, prediction: Prediction, held: datetime) -> None:
        webhook = prediction.webhook
        if webhook is None or self._policy.exhausted(webhook.attempts):
            self._webhooks.give_up(prediction.id, held)
            return
        self._call(prediction.id, webhook, message(prediction), held)

    def _call(self, identity: str, webhook: Webhook, body: bytes, held: datetime) -> None:
        at = now()
        timestamp = int(at.timestamp())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"mlhub/{mlhub.__version__}",
            ID: identity,
            TIMESTAMP: str(timestamp),
            SIGNATURE: sign(self._secrets, identity, timestamp, body),
        }
        started = time.monotonic()
        outcome = self._caller.post(webhook.url, body, headers)
        duration = round(time.monotonic() - started, 3)
        pause = self._policy.again(webhook.attempts, outcome)
        if outcome.error is not None:
            _LOG.info("the webhook of prediction %s failed: %s", identity, outcome.error)
        self._webhooks.record(
            identity,
            held,
            Delivery(at, outcome.status, outcome.error, duration),
            None if pause is None else now() + pause,
        )


def message(prediction: Prediction) -> bytes:
    """Return what a webhook brings: the prediction as the API shows it, without the webhook itself."""
    shown: dict[str, Any] = view.prediction(prediction)
    shown.pop("webhook", None)
    body = msgspec.json.encode(shown)
    if len(body) <= _LARGEST:
        return body
    return msgspec.json.encode(shown | {"output": None, "output_omitted": True})
