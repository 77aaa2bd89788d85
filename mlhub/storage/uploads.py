"""Uploads that come in several requests: what has arrived of each, and the bundle it is to become."""

from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec
from pymongo.database import Database

from mlhub.common.errors import ConflictError, NotFoundError
from mlhub.storage.database import Document, compare_and_set, now, to_document, to_record, translated
from mlhub.storage.shelf import BundleShelf, Held

_AT_ONCE: Final = 100
"""Uploads looked at in one sweep."""
MOST_PARTS: Final = 20_000
"""Parts of one upload, whose list has to fit into a document."""


class Part(msgspec.Struct, frozen=True):
    """Bytes that arrived in one request."""

    key: str
    """Where the bundle store has them."""
    holder: str
    """Who holds them there."""
    size: int
    """Bytes."""


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload under way, or done."""

    id: str
    """Unique, and hard to guess: who knows it may go on with the upload."""
    model: str
    """Name of the entry it goes to."""
    version: str | None
    """Name of the version; the next whole number unless given."""
    fields: str
    """What the client says of the entry, as JSON."""
    metadata: str
    """The same as the client sent it."""
    length: int
    """Bytes it will have."""
    created_at: datetime
    expires_at: datetime
    """When it is given up, UTC."""
    offset: int = 0
    """Bytes that are there."""
    parts: tuple[Part, ...] = ()
    """What they are made of, in their order."""
    state: Literal["open", "done"] = "open"
    lease_until: datetime | None = None
    """Until when one process alone may make the bundle of it, UTC."""
    result: str | None = None
    """Deployment of the version that it became."""


class UploadStore:
    """Uploads, in the collection `uploads`, with their parts on the shelf, held until the upload expires."""

    def __init__(self, database: Database[Document], shelf: BundleShelf) -> None:
        self._uploads = database["uploads"]
        self._shelf = shelf

    @translated()
    def create_indexes(self) -> None:
        """Make the indexes; those that exist stay."""
        self._uploads.create_index("expires_at")

    @translated()
    def add(self, upload: Upload) -> None:
        """Keep a new upload."""
        self._uploads.insert_one(to_document(upload) | {"_id": upload.id})

    @translated()
    def get(self, identity: str) -> Upload:
        """Return an upload.

        Raises:
            NotFoundError: there is none, or it has expired.
        """
        document = self._uploads.find_one({"_id": identity})
        if document is not None:
            upload = to_record(document, Upload)
            if upload.expires_at > now():
                return upload
        raise NotFoundError(
            "There is no such upload, or it has expired; begin again.", code="upload_not_found"
        )

    @translated()
    def append(self, upload: Upload, held: Held) -> Upload:
        """Add what one more request brought.

        Raises:
            ConflictError: another request brought something for the same place.
        """
        part = Part(held.key, held.holder, held.stored.size)
        offset = upload.offset + part.size
        change: Document = {"$set": {"offset": offset}, "$push": {"parts": to_document(part)}}
        if not compare_and_set(self._uploads, upload.id, {"offset": upload.offset, "state": "open"}, change):
            raise ConflictError("Another request has gone on with this upload; ask where it stands.")
        return msgspec.structs.replace(upload, offset=offset, parts=(*upload.parts, part))

    @translated()
    def claim(self, upload: Upload, lease: timedelta) -> bool:
        """Take a complete upload to make its bundle, unless another process has it; true when taken."""
        free: Document = {"state": "open", "offset": upload.length, "lease_until": upload.lease_until}
        if upload.lease_until is not None and upload.lease_until > now():
            return False
        return compare_and_set(self._uploads, upload.id, free, {"$set": {"lease_until": now() + lease}})

    @translated()
    def release(self, upload: Upload) -> None:
        """Give a claimed upload back, since its bundle could not be made now."""
        compare_and_set(self._uploads, upload.id, {"state": "open"}, {"$set": {"lease_until": None}})

    @translated()
    def finish(self, upload: Upload, deployment: str) -> None:
        """Note what became of an upload, and drop its parts; it is remembered until it expires."""
        change: Document = {"$set": {"state": "done", "result": deployment, "parts": []}}
        compare_and_set(self._uploads, upload.id, {}, change)
        self._drop(upload)

    @translated()
    def discard(self, upload: Upload) -> None:
        """Drop an upload with all that has arrived of it."""
        self._uploads.delete_one({"_id": upload.id})
        self._drop(upload)

    @translated()
    def sweep(self) -> None:
        """Drop uploads that have expired."""
        for document in self._uploads.find({"expires_at": {"$lte": now()}}).limit(_AT_ONCE):
            self.discard(to_record(document, Upload))

    def _drop(self, upload: Upload) -> None:
        # What a process that dies here leaves goes when the holds end, with the upload's time.
        for part in upload.parts:
            self._shelf.collect(part.key, part.holder)
