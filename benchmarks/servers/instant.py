"""The hub's own API, with a gateway that answers at once: what HTTP, JSON and the checks alone allow.

Started as `python -m benchmarks.servers.instant`, with the settings of a hub whose database runs.
"""

import asyncio
from typing import Any

import numpy as np

from mlhub.api import app
from mlhub.api.composition import services
from mlhub.api.gateway.answer import Answer, Outputs
from mlhub.api.gateway.group import Target, Waiter
from mlhub.common import logs, tensor
from mlhub.common.asgi import AsgiServer
from mlhub.common.rows import Rows
from mlhub.common.settings import Settings, load_settings


class InstantGateway:
    """Stands in for the gateway: every row is an eight."""

    reachable = True

    product = None

    def __init__(self, *_: Any) -> None:
        """Need nothing."""
        self._waiting: list[Waiter] = []

    def start(self) -> None:
        """Connect to nothing."""

    async def stop(self) -> None:
        """Leave nothing."""

    def beat(self, body: bytes) -> None:
        """Tell nobody."""

    async def publish_predictions(self, *_: Any) -> bool:
        """Take nothing over."""
        return False

    async def predict(self, target: Target, rows: Rows, wait: float) -> Answer:
        """Answer, after one turn of the event loop as a real answer takes at least."""
        del target, wait
        await asyncio.sleep(0)
        return Answer(_eights(rows.count))

    def submit(self, target: Target, waiter: Waiter) -> None:
        """Answer in the next turn of the event loop, with all that come at the same time, as a batch is."""
        del target
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._answer_all)
        self._waiting.append(waiter)

    def _answer_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        outputs = _eights(sum(waiter.rows.count for waiter in waiting))
        start = 0
        for waiter in waiting:
            end = start + waiter.rows.count
            waiter.answered(Answer(outputs, start, end))
            start = end


def _eights(count: int) -> Outputs:
    return Outputs([tensor.encode("predict", np.full(count, 8))], 0.0, 0.0)


def _create(settings: Settings) -> Any:
    vars(services)["Gateway"] = InstantGateway
    return app.create_app(settings)


def main() -> None:
    """Serve on the address that the settings name."""
    settings = load_settings()
    logs.configure("text", "INFO")
    server = AsgiServer(
        "instant", lambda: _create(settings), host=settings.host, port=settings.port, processes=1
    )
    server.run()


if __name__ == "__main__":
    main()
