"""Records of pools: how many processes each should have, and how many it has.

Any process of the API may wish for a size; the one that runs the processes makes it so and reports what is.
"""

from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from mlhub.common.pool import PoolKind
from mlhub.storage.database import Document, now, to_record, translated

FRESH: Final = timedelta(seconds=30)
"""How long a report counts: after that, nobody seems to run the pool's processes any more."""

Wisher = Literal["settings", "operator", "load"]
"""Who wants a size: the settings, until an operator or the rules of automatic scaling want another."""


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """One pool of one backend."""

    backend: str
    kind: PoolKind
    desired: int
    """Processes it should have."""
    since: datetime
    """Since when, UTC."""
    by: Wisher
    """Who wants that."""
    actual: int = 0
    """Processes it had at the last report, those that are about to end among them."""
    seen_at: datetime
    """When that was, UTC."""

    @property
    def is_kept(self) -> bool:
        """Whether somebody runs its processes now."""
        return self.seen_at + FRESH > now()


class PoolStore:
    """Pools, in the collection `pools`; a document's key is `<backend>.<kind>`."""

    def __init__(self, database: Database[Document]) -> None:
        self._pools = database["pools"]

    @translated()
    def kept(self, backend: str) -> dict[PoolKind, Pool]:
        """Return the pools of a backend whose processes somebody runs now."""
        found = (to_record(document, Pool) for document in self._pools.find({"backend": backend}))
        return {pool.kind: pool for pool in found if pool.is_kept}

    @translated()
    def find(self, backend: str, kind: PoolKind) -> Pool | None:
        """Return a pool, if there ever was one."""
        document = self._pools.find_one({"_id": _key(backend, kind)})
        return None if document is None else to_record(document, Pool)

    @translated()
    def wish(self, backend: str, kind: PoolKind, count: int, by: Wisher) -> None:
        """Say how many processes a pool should have; one that nobody ever reported stays unknown."""
        wish = {"desired": count, "since": now(), "by": by}
        self._pools.update_one({"_id": _key(backend, kind)}, {"$set": wish})

    @translated()
    def report(self, backend: str, kind: PoolKind, actual: int, otherwise: int) -> None:
        """Say how many processes a pool has; it should have `otherwise` when there is no wish yet."""
        key, time = _key(backend, kind), now()
        seen = {"actual": actual, "seen_at": time}
        if self._pools.update_one({"_id": key}, {"$set": seen}).matched_count:
            return
        first = {"_id": key, "backend": backend, "kind": kind.value, "since": time, "by": "settings"}
        try:
            self._pools.insert_one({**first, **seen, "desired": otherwise})
        except DuplicateKeyError:
            # Another process was quicker; its report is as good.
            return


def _key(backend: str, kind: PoolKind) -> str:
    return f"{backend}.{kind}"
