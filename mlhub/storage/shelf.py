"""The bundles that the hub keeps: one copy of each content, there as long as somebody needs it."""

import secrets
from datetime import datetime, timedelta
from typing import Final

import msgspec

from mlhub.common.errors import NotFoundError
from mlhub.storage.bundles import BundleStore, BundleWriter, StoredBundle, new_key
from mlhub.storage.copies import CopyStore
from mlhub.storage.database import now
from mlhub.storage.versions import VersionStore

_AT_ONCE: Final = 500
"""Copies looked at in one sweep."""
HOLD: Final = timedelta(hours=1)
"""How long an upload holds its bundle, from its last byte: many times what recording its version takes."""


class Held(msgspec.Struct, frozen=True):
    """A bundle in the store that somebody holds."""

    key: str
    """Its name in the store."""
    stored: StoredBundle
    """What it is."""
    holder: str
    """Who holds it."""


class BundleShelf:
    """A bundle store with the documents that say who needs what is in it; see `mlhub.storage.copies`."""

    def __init__(self, store: BundleStore, copies: CopyStore, versions: VersionStore) -> None:
        self._store = store
        self._copies = copies
        self._versions = versions

    def create(self) -> BundleWriter:
        """Begin to take a bundle in.

        Raises:
            UnavailableError: the store cannot.
        """
        return self._store.create()

    def keep(
        self,
        writer: BundleWriter,
        holder: str | None = None,
        until: datetime | None = None,
        *,
        share: bool = True,
    ) -> Held:
        """Put what a writer has into the store, or find the same content there, and hold it.

        Whoever calls this calls `give_back` once a version has the bundle, or else `drop`.

        Args:
            writer: the whole of it is written.
            holder: who holds it; a new name unless given.
            until: when the hold ends by itself.
            share: whether to look for the same content first.

        Raises:
            UnavailableError: the store, or the database, takes nothing.
        """
        stored = writer.seal()
        holder = holder or secrets.token_hex(8)
        until = until or now() + HOLD
        shared = self._copies.share(stored.sha256, holder, until) if share else None
        if shared is not None:
            if self._is_whole(shared.key, stored.size):
                writer.abort()
                return Held(shared.key, stored, holder)
            # A disk lost it. Its versions keep their copy, such as it is.
            self.drop(Held(shared.key, stored, holder))
        key = new_key(stored.sha256)
        self._copies.add(key, stored.sha256, stored.size, holder, until)
        held = Held(key, stored, holder)
        try:
            writer.commit(key)
        except BaseException:
            self.drop(held)
            raise
        return held

    def give_back(self, held: Held) -> bool:
        """End the hold on a bundle that a version has now; false when it may be gone already."""
        if self._copies.give_back(held.key, held.holder):
            return True
        self.drop(held)
        return False

    def drop(self, held: Held) -> None:
        """End the hold on a bundle, which goes unless somebody else needs it."""
        self.collect(held.key, held.holder)

    def sweep(self, grace: float) -> None:
        """Clear away what processes that died left.

        Args:
            grace: seconds that temporary files are left alone.
        """
        self._store.abandoned(grace)
        for key in self._copies.idle(_AT_ONCE):
            self.collect(key)

    def collect(self, key: str, holder: str | None = None) -> None:
        """Drop a bundle unless a version has it, or somebody other than `holder` holds it."""
        if self._copies.doom(key, holder, lambda: self._versions.uses_bundle(key)):
            self._store.delete(key)
            self._copies.forget(key)
        elif self._copies.find(key) is None and not self._versions.uses_bundle(key):
            # Of a hub before 0.2, which kept no documents; or deleted already.
            self._store.delete(key)

    def _is_whole(self, key: str, size: int) -> bool:
        try:
            return self._store.size(key) == size
        except NotFoundError:
            return False
