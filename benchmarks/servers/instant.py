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
        return _answer(rows)

    def submit(self, target: Target, waiter: Waiter) -> None:
        """Answer in the next turn of the event loop."""
        del target
        asyncio.get_running_loop().call_soon(lambda: waiter.answered(_answer(waiter.rows)))


def _answer(rows: Rows) -> Answer:
    return Answer(Outputs([tensor.encode("predict", np.full(rows.count, 8))], 0.0, 0.0))


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
