"""Keeps a job's claim on a record alive while the job lives, so that a dead one is noticed soon."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from datetime import timedelta
from typing import Final

from mlhub.common.errors import MLHubError

_LOG = logging.getLogger(__name__)

_PART: Final = 4
"""Renewals within the time of one lease: a few may fail before it is lost."""


@contextmanager
def renewed(renew: Callable[[], bool], lease: timedelta) -> Iterator[threading.Event]:
    """Renew a lease every so often until the block ends.

    Args:
        renew: prolongs the lease; tells whether it still was this job's.
        lease: how long it lasts.

    Yields:
        An event that is set once the lease is lost: another job may have begun the same work.
    """
    ended, lost = threading.Event(), threading.Event()

    def run() -> None:
        while not ended.wait(lease.total_seconds() / _PART):
            try:
                if not renew():
                    lost.set()
                    return
            except MLHubError as error:
                # The database may be back before the lease ends.
                _LOG.warning("a lease could not be renewed: %s", error)

    # In this block's context, so that its lines name the same requests.
    thread = threading.Thread(target=copy_context().run, args=(run,), name="lease", daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        ended.set()
        thread.join()
