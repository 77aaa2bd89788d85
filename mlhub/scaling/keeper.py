"""The keeper of the pools: makes of the sizes that are wished for those that are."""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

import msgspec

from mlhub.common.errors import MLHubError
from mlhub.common.pool import PoolKind, PoolSettings
from mlhub.scaling.rules import Rules, Sample
from mlhub.scaling.scaler import Scaler
from mlhub.storage.leases import LeaseStore
from mlhub.storage.pools import PoolStore

_LOG = logging.getLogger(__name__)

_TASK: Final = "scale"
_LEASE: Final = timedelta(seconds=10)
"""How long the keeper of a process that died keeps others from acting."""
_REPORT: Final = 5.0
"""Seconds between two reports of a pool whose size stays."""

Look = Callable[[str, PoolKind], Sample]
"""Looks at the queue of a backend's pool."""


class _Reported(msgspec.Struct, frozen=True):
    """What was reported of a pool last."""

    actual: int
    time: float
    """When, by the monotonic clock."""


class Keeper:
    """Keeps the pools of all backends; of several keepers of one hub, one does at a time."""

    def __init__(
        self,
        pools: Mapping[tuple[str, PoolKind], PoolSettings],
        store: PoolStore,
        leases: LeaseStore,
        scaler: Scaler,
        look: Look,
        interval: float,
    ) -> None:
        self._pools = pools
        self._store = store
        self._leases = leases
        self._scaler = scaler
        self._look = look
        self._interval = interval
        self._holder = secrets.token_hex(8)
        self._rules = {key: Rules(settings) for key, settings in pools.items() if settings.automatic}
        self._reported: dict[tuple[str, PoolKind], _Reported] = {}
        self._stop = threading.Event()

    def run(self) -> None:
        """Keep the pools until told to stop."""
        while not self._stop.wait(self._interval):
            try:
                self.keep()
            except MLHubError as error:
                _LOG.warning("pools stay as they are for now: %s", error)
        try:
            self._leases.give_back(_TASK, self._holder)
        except MLHubError as error:
            _LOG.info("the lease on scaling ends by itself: %s", error)

    def stop(self) -> None:
        """Have `run` end."""
        self._stop.set()

    def keep(self) -> None:
        """Look after each pool once, unless another keeper does; trouble with one leaves the others alone.

        Raises:
            UnavailableError: the database is away.
        """
        if not self._leases.take(_TASK, self._holder, _LEASE):
            return
        for (backend, kind), settings in self._pools.items():
            try:
                self._keep(backend, kind, settings)
            except MLHubError as error:
                _LOG.warning("pool %s of %s stays as it is for now: %s", kind, backend, error)

    def _keep(self, backend: str, kind: PoolKind, settings: PoolSettings) -> None:
        pool = self._store.find(backend, kind)
        if pool is None:
            desired = settings.minimum
        else:
            desired = self._by_load(backend, kind, settings.bounded(pool.desired))
            if desired != pool.desired:
                self._store.wish(backend, kind, desired, "load" if settings.automatic else "settings")
        actual = self._scaler.keep(backend, kind, desired)
        if actual is None:
            return
        reported = self._reported.get((backend, kind))
        now = time.monotonic()
        if reported is None or reported.actual != actual or now - reported.time > _REPORT:
            self._store.report(backend, kind, actual, desired)
            self._reported[backend, kind] = _Reported(actual, now)

    def _by_load(self, backend: str, kind: PoolKind, desired: int) -> int:
        rules = self._rules.get((backend, kind))
        if rules is None:
            return desired
        wanted = rules.decide(time.monotonic(), desired, self._look(backend, kind))
        if wanted != desired:
            _LOG.info(
                "the load on pool %s of %s calls for %d processes, not %d", kind, backend, wanted, desired
            )
        return wanted
