"""The mailbox of a worker that comes back while the broker still has its old connection."""

from typing import Any

import kombu

from mlhub.common.settings import Settings
from mlhub.workers.app import create_worker


def test_a_worker_that_is_back_has_a_mailbox_beside_that_of_its_old_connection(broker: Any) -> None:
    settings = Settings(broker_url=broker.url, backends={"mailbox": {}})  # type: ignore[dict-item]
    mailbox = create_worker(settings, "mailbox", "predict").control.mailbox
    told: list[Any] = []
    with kombu.Connection(broker.url) as old, kombu.Connection(broker.url) as new:
        for connection in (old, new):
            node = mailbox.Node("worker@host", channel=connection.default_channel)
            node.listen(callback=lambda body, _: told.append(body))
        with kombu.Connection(broker.url) as operator:
            mailbox(operator).cast(["worker@host"], "ping")
        while not told:
            new.drain_events(timeout=60)
    assert told[0]["method"] == "ping"
