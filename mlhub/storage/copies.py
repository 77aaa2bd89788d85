"""The copies of bundles: who holds each, so that none is deleted that somebody needs, or is about to.

A bundle store keeps one copy for all versions of the same content. Whether a copy is needed is told by two
things: the versions that name its key, and the holds on it. An upload holds its copy from before the bytes
are in the store until its version is recorded; a resumable upload holds its parts.

Why nothing is lost, whatever runs at the same moment, is paused for any time, or dies:

- A key is used once. A copy that is `doomed` stays so: it is deleted, and the same content uploaded later
  gets a copy under a new key. So deleting may happen late or twice and never hits anything newer.
- To doom a copy is a compare-and-set on its `revision`, made after a look that found no version and no hold.
  Holds are taken and given back by compare-and-set too, each with a new revision. A version appears only
  while its upload holds the copy. So if one appeared after the look, a hold came and went since, the
  revision differs, and the look is taken again.
- Who finds that he must leave a copy because of another's hold changes the revision as well. So of two that
  let go at once, one sees that it is the last.
- A hold ends by itself after a time, since its owner may have died. An owner that was only slow finds out
  when it gives the hold back, after it recorded its version: then the version goes again.
- The document is there before the bytes and goes after them, so every byte has a document that leads to it.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from pymongo.database import Database

from mlhub.storage.database import Document, compare_and_set, now, to_document, to_record, translated

_DOOMED_SINCE = datetime(2000, 1, 1, tzinfo=UTC)
"""What a doomed copy has as `held_until`: the sweeper takes it as one whose holds are over."""


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of a bundle."""

    key: str
    """Its name in the bundle store, used once."""
    sha256: str
    """Of its bytes, in hexadecimal; empty where only its key is known."""
    size: int
    """Bytes."""
    holds: dict[str, datetime]
    """Who holds it, and until when, UTC."""
    held_until: datetime | None
    """The last of these times; nothing when nobody holds it."""
    doomed: bool = False
    """Whether it is being deleted, which cannot be taken back."""
    revision: int = 1
    """Counts the changes."""

    def others(self, holder: str | None) -> dict[str, datetime]:
        """Return the holds that last and are not `holder`'s."""
        time = now()
        return {name: until for name, until in self.holds.items() if name != holder and until > time}


class CopyStore:
    """Copies, in the collection `bundles`; a document's key is the copy's."""

    def __init__(self, database: Database[Document]) -> None:
        self._copies = database["bundles"]

    @translated()
    def create_indexes(self) -> None:
        """Make the indexes; those that exist stay."""
        self._copies.create_index("sha256")
        self._copies.create_index("held_until")

    @translated()
    def add(self, key: str, sha256: str, size: int, holder: str, until: datetime) -> None:
        """Note a copy that is about to come into the store."""
        copy = Copy(key=key, sha256=sha256, size=size, holds={holder: until}, held_until=until)
        self._copies.insert_one(to_document(copy) | {"_id": key})

    @translated()
    def share(self, sha256: str, holder: str, until: datetime) -> Copy | None:
        """Hold a copy of this content that is there, if there is one."""
        for document in self._copies.find({"sha256": sha256}):
            copy: Copy | None = to_record(document, Copy)
            while copy is not None and not copy.doomed:
                if self._set_holds(copy, {**copy.others(holder), holder: until}):
                    return copy
                copy = self.find(copy.key)
        return None

    @translated()
    def find(self, key: str) -> Copy | None:
        """Return a copy, or nothing."""
        document = self._copies.find_one({"_id": key})
        return None if document is None else to_record(document, Copy)

    @translated()
    def give_back(self, key: str, holder: str) -> bool:
        """End a hold on a copy that a version has now; tell whether it lasted until now.

        When it did not, the copy may be gone.
        """
        while (copy := self.find(key)) is not None and not copy.doomed and holder in copy.holds:
            if self._set_holds(copy, copy.others(holder)):
                return True
        return False

    @translated()
    def doom(self, key: str, holder: str | None, is_used: Callable[[], bool]) -> bool:
        """End a hold, if there is one, and doom the copy if nobody needs it; tell whether it is doomed.

        Args:
            key: of the copy.
            holder: whose hold ends.
            is_used: looks whether a version has the copy.
        """
        while (copy := self.find(key)) is not None:
            if copy.doomed:
                return True
            others = copy.others(holder)
            if others or is_used():
                if self._set_holds(copy, others):
                    return False
            elif compare_and_set(
                self._copies,
                key,
                {"revision": copy.revision},
                {"$set": {"doomed": True, "held_until": _DOOMED_SINCE, "revision": copy.revision + 1}},
            ):
                return True
        return False

    @translated()
    def forget(self, key: str) -> None:
        """Drop the document of a doomed copy whose bytes are gone."""
        self._copies.delete_one({"_id": key, "doomed": True})

    @translated()
    def idle(self, limit: int) -> list[str]:
        """Return the keys of copies that are doomed, or whose last hold ended by itself."""
        wanted: Document = {"held_until": {"$lte": now()}}
        return [document["_id"] for document in self._copies.find(wanted, {"_id": 1}).limit(limit)]

    def _set_holds(self, copy: Copy, holds: dict[str, datetime]) -> bool:
        values = {
            "holds": holds,
            "held_until": max(holds.values(), default=None),
            "revision": copy.revision + 1,
        }
        return compare_and_set(
            self._copies, copy.key, {"revision": copy.revision, "doomed": False}, {"$set": values}
        )
