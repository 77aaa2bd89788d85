"""Indexes, made when the database is first there, and kept in shape from then on."""

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Final

from mlhub.common.errors import MLHubError

_LOG = logging.getLogger(__name__)

_PAUSE: Final = 1.0
"""Seconds between two tries."""


class IndexKeeper:
    """Makes the indexes in a thread, trying until the database is there: no start depends on an order."""

    def __init__(
        self, creators: Iterable[Callable[[], None]], upkeep: Callable[[], None], interval: float
    ) -> None:
        """Prepare.

        Args:
            creators: make indexes; each is called until it has done so.
            upkeep: keeps them in shape.
            interval: seconds between two calls of `upkeep`.
        """
        self._creators = list(creators)
        self._upkeep = upkeep
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="indexes", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the step that is under way."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            try:
                while self._creators:
                    self._creators[0]()
                    del self._creators[0]
                self._upkeep()
            except MLHubError as error:
                _LOG.warning("indexes put off: %s", error)
                pause = _PAUSE
            except Exception:  # noqa: BLE001 (the edge of this thread: one surprise must not end it)
                _LOG.exception("upkeep of indexes failed")
                pause = self._interval
            else:
                pause = self._interval
