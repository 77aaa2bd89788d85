"""Indexes, made when the database is first there."""

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

    def __init__(self, creators: Iterable[Callable[[], None]]) -> None:
        self._creators = tuple(creators)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="indexes", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Give up, if it is not done."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for create in self._creators:
                    create()
            except MLHubError as error:
                _LOG.warning("indexes put off: %s", error)
                self._stop.wait(_PAUSE)
            else:
                return
