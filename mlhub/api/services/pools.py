"""Pools: how many processes each has and should have."""

from collections.abc import Mapping

from mlhub.common.errors import ConflictError, FieldError, NotFoundError, UnacceptableError
from mlhub.common.operations import PoolState
from mlhub.common.pool import PoolKind
from mlhub.common.settings import Settings
from mlhub.storage.pools import PoolStore


class PoolService:
    """Shows and resizes the pools of the backends that are configured."""

    def __init__(self, store: PoolStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def show(self, backend: str) -> dict[str, PoolState]:
        """Return the pools of a backend by their kind; none where nobody runs processes for the hub.

        Raises:
            NotFoundError: there is no such backend.
            UnavailableError: the database is away.
        """
        self._check(backend)
        kept = self._store.kept(backend)
        states = {}
        for kind in PoolKind:
            if (pool := kept.get(kind)) is not None:
                rules = self._settings.pool(self._settings.backends[backend], kind)
                states[kind.value] = PoolState(
                    desired=pool.desired,
                    actual=pool.actual,
                    minimum=rules.minimum,
                    maximum=rules.maximum,
                    automatic=rules.automatic,
                    by=pool.by,
                    since=pool.since,
                )
        return states

    def resize(self, backend: str, sizes: Mapping[PoolKind, int]) -> dict[str, PoolState]:
        """Say how many processes pools of a backend should have, all or none; return all its pools.

        Raises:
            NotFoundError: there is no such backend.
            UnacceptableError: a size is out of its bounds, or the hub runs no such pool.
            ConflictError: nobody runs processes for the hub.
            UnavailableError: the database is away.
        """
        self._check(backend)
        wrong = tuple(filter(None, (self._problem(backend, *size) for size in sizes.items())))
        if wrong:
            raise UnacceptableError(wrong[0].detail, code="pool_size", fields=wrong)
        kept = self._store.kept(backend)
        if not kept:
            raise ConflictError(
                f"Nobody starts and ends processes of {backend!r} for this hub: they were started by hand, "
                "or 'mlhub scaler' does not run.",
                code="no_scaler",
            )
        absent = tuple(
            FieldError(f"/{kind}", f"This hub runs no {kind} of {backend!r}, so it cannot scale them.")
            for kind in sizes
            if kind not in kept
        )
        if absent:
            raise UnacceptableError(absent[0].detail, code="no_such_pool", fields=absent)
        for kind, count in sizes.items():
            self._store.wish(backend, kind, count, "operator")
        return self.show(backend)

    def _check(self, backend: str) -> None:
        if backend not in self._settings.backends:
            known = ", ".join(self._settings.backends)
            raise NotFoundError(
                f"There is no backend {backend!r}; configured are: {known}.", code="backend_not_found"
            )

    def _problem(self, backend: str, kind: PoolKind, count: int) -> FieldError | None:
        rules = self._settings.pool(self._settings.backends[backend], kind)
        if rules.minimum <= count <= rules.maximum:
            return None
        bounds = f"between {rules.minimum} and {rules.maximum} processes"
        return FieldError(f"/{kind}", f"The pool '{kind}' of {backend!r} has {bounds}, so not {count}.")
