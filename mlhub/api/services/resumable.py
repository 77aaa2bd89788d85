"""Resumable uploads: begun, continued as often as connections break, and made into a version once."""

import secrets
from datetime import timedelta
from typing import Final

import msgspec
from msgspec import UNSET

from mlhub.api.services.models import ModelFields
from mlhub.api.services.uploads import Target, Uploaded, UploadService
from mlhub.common.errors import (
    ConflictError,
    MLHubError,
    NotConfiguredError,
    TooLargeError,
    UnacceptableError,
    UnavailableError,
)
from mlhub.common.model import Version
from mlhub.storage.bundles import BundleStore, BundleWriter
from mlhub.storage.database import now
from mlhub.storage.shelf import BundleShelf
from mlhub.storage.uploads import MOST_PARTS, Upload, UploadStore
from mlhub.storage.versions import VersionStore

_LEASE: Final = timedelta(minutes=10)
"""How long one process may take to make a bundle of an upload's parts before another tries."""
_PIECE: Final = 1024 * 1024
_FIELDS: Final = msgspec.json.Decoder(ModelFields)


class ResumableService:
    """What the calls on `/uploads` mean."""

    def __init__(
        self,
        store: UploadStore,
        shelf: BundleShelf,
        bundles: BundleStore,
        versions: VersionStore,
        uploads: UploadService,
        ttl: float,
        max_bytes: int,
    ) -> None:
        self._store = store
        self._shelf = shelf
        self._bundles = bundles
        self._versions = versions
        self._uploads = uploads
        self._ttl = timedelta(seconds=ttl)
        self._max_bytes = max_bytes

    def create(self, fields: ModelFields, length: int, metadata: str) -> Upload:
        """Begin an upload.

        Args:
            fields: what it is to become; the entry is made when it is missing and `type` is given.
            length: bytes it will have.
            metadata: the fields as the client sent them.

        Raises:
            UnacceptableError: a field has no legal value, or there is nothing to upload.
            NotFoundError: there is no such model, and no type to make one.
            TooLargeError: it is larger than a bundle may be.
        """
        if length > self._max_bytes:
            raise TooLargeError(f"The bundle is larger than the {self._max_bytes} bytes that this hub takes.")
        if length == 0:
            raise UnacceptableError("There is nothing to upload.", code="not_an_archive")
        if fields.model is UNSET:
            raise UnacceptableError(
                "The upload does not say where it goes: give the model's name as 'model' in Upload-Metadata.",
                code="missing_field",
            )
        version = fields.version if isinstance(fields.version, str) else None
        upload = Upload(
            id=secrets.token_hex(16),
            model=fields.model,
            version=version,
            fields=msgspec.json.encode(fields).decode(),
            metadata=metadata,
            length=length,
            created_at=now(),
            expires_at=now() + self._ttl,
        )
        self._uploads.check(_target(upload))
        self._store.add(upload)
        return upload

    def get(self, identity: str) -> Upload:
        """Return an upload.

        Raises:
            NotFoundError: there is none.
        """
        return self._store.get(identity)

    def begin(self, identity: str, offset: int) -> tuple[Upload, BundleWriter]:
        """Return an upload and where to write more of it.

        Raises:
            NotFoundError: there is none.
            ConflictError: it stands somewhere else.
            TooLargeError: it came in too many pieces.
        """
        upload = self._store.get(identity)
        if offset != upload.offset:
            raise ConflictError(
                f"The upload stands at byte {upload.offset}, not at {offset}; go on from there.",
                code="offset_mismatch",
            )
        if len(upload.parts) >= MOST_PARTS:
            raise TooLargeError(f"The upload came in {MOST_PARTS} pieces; begin again with larger ones.")
        return upload, self._shelf.create()

    def append(self, upload: Upload, writer: BundleWriter) -> Upload:
        """Keep what arrived, be it all or part of what was to come.

        Raises:
            ConflictError: another request was faster.
            UnavailableError: the store takes nothing.
        """
        if not writer.seal().size:
            return upload
        held = self._shelf.keep(writer, f"{upload.id}-{secrets.token_hex(4)}", upload.expires_at)
        try:
            return self._store.append(upload, held)
        except MLHubError:
            self._shelf.drop(held)
            raise

    def finish(self, upload: Upload) -> Uploaded:
        """Make the version of an upload that is complete, or find the one that was made of it.

        Raises:
            UnavailableError: another process is at it, or the store takes nothing; ask again.
            NotConfiguredError: the model's backend was taken out of the settings; ask again when it is back.
            MLHubError: it cannot become a version; nothing of it is kept.
        """
        upload = self._store.get(upload.id)
        if upload.state == "done":
            return Uploaded(self._result(upload), created=False)
        if not self._store.claim(upload, _LEASE):
            raise UnavailableError("The upload is being made into a version; ask again.", retry_after=2)
        try:
            uploaded = self._publish(upload)
        except (UnavailableError, NotConfiguredError):
            # The hub's own trouble: all of it is there, and can become a version when that is over.
            self._store.release(upload)
            raise
        except MLHubError:
            self._store.discard(upload)
            raise
        self._store.finish(upload, uploaded.version.deployment)
        return uploaded

    def result(self, upload: Upload) -> Version | None:
        """Return the version that an upload became, if it did and it is there still."""
        return None if upload.result is None else self._versions.by_deployment(upload.result)

    def discard(self, identity: str) -> None:
        """Drop an upload.

        Raises:
            NotFoundError: there is none.
        """
        self._store.discard(self._store.get(identity))

    def _result(self, upload: Upload) -> Version:
        version = self.result(upload)
        if version is None:
            raise ConflictError("The version that this upload became was removed.", code="version_removed")
        return version

    def _publish(self, upload: Upload) -> Uploaded:
        writer = self._shelf.create()
        try:
            for part in upload.parts:
                with self._bundles.open(part.key) as file:
                    while piece := file.read(_PIECE):
                        writer.write(piece)
            return self._uploads.finish(_target(upload), writer)
        finally:
            writer.abort()


def _target(upload: Upload) -> Target:
    fields = _FIELDS.decode(upload.fields)
    return Target(
        model=upload.model,
        version=upload.version,
        fields=fields,
        may_create=fields.type is not UNSET,
        token=upload.id[:12],
    )
