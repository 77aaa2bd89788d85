"""Runs a Celery application as a worker process."""

import logging
import os
import secrets
import socket
import warnings
from typing import Any, Final

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import setup_logging

_TALKATIVE: Final = ("celery.app.trace", "celery.worker.strategy")
"""Loggers that write two lines a message, with the values of results in them."""


def run(app: Celery, pool: str, concurrency: int) -> int:
    """Work until told to stop; return the exit status.

    Args:
        app: what `create_worker` built.
        pool: name of the pool, the first part of the process's node name.
        concurrency: threads for each of its queues, each with one call to a model server.
    """

    def keep_logging(**_: Any) -> None:
        # A receiver of this signal keeps Celery from replacing the handlers that `logs` set.
        pass

    # Celery warns of root because of pickles, which these workers never accept from the queue.
    warnings.simplefilter("ignore", SecurityWarning)
    setup_logging.connect(keep_logging, weak=False)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    # Celery refuses a second node of the same name while the first one's connection lasts, so that a
    # restarted process must not take its predecessor's.
    node = f"{pool}.{os.getpid()}.{secrets.token_hex(2)}@{socket.gethostname()}"
    worker = app.Worker(
        hostname=node,
        pool="threads",
        concurrency=concurrency * len(app.conf.task_queues),
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)
