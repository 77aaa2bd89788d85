"""Entries that move between hubs: what an export says of one, and how another hub takes it in."""

from typing import Any, BinaryIO, Final

import msgspec

from mlhub.api.services.models import Entry, ModelFields, ModelService
from mlhub.api.services.uploads import Target, Uploaded, UploadService
from mlhub.common import names
from mlhub.common.errors import ConflictError, UnacceptableError
from mlhub.common.export import FORMAT, ExportedVersion, Manifest
from mlhub.common.model import Version
from mlhub.storage.bundles import BundleStore, BundleWriter

_FIELDS: Final = (
    "type",
    "meta",
    "description",
    "reference",
    "discipline",
    "tags",
    "visibility",
    "input_example",
)
"""What moves with an entry; its backend and owner are those of the other hub."""


class Export(msgspec.Struct, frozen=True):
    """What is sent."""

    manifest: Manifest
    versions: list[Version]
    """Those of the manifest, in its order."""


class ExchangeService:
    """What export and import mean."""

    def __init__(self, models: ModelService, uploads: UploadService, bundles: BundleStore) -> None:
        self._models = models
        self._uploads = uploads
        self._bundles = bundles

    def export(self, name: str) -> Export:
        """Say what an export of an entry holds: all its versions, oldest first.

        Raises:
            NotFoundError: there is no such entry.
        """
        entry = self._models.get(name)
        versions = entry.versions[::-1]
        manifest = Manifest(
            FORMAT,
            name,
            _fields(entry),
            entry.model.pinned,
            tuple(
                ExportedVersion(item.version, item.bundle.sha256, item.bundle.size, item.bundle.filename)
                for item in versions
            ),
        )
        return Export(manifest, versions)

    def open(self, version: Version) -> BinaryIO:
        """Open a version's bundle.

        Raises:
            NotFoundError: it is gone.
        """
        return self._bundles.open(version.bundle.key)

    def begin(self, manifest: Manifest, name: str) -> bool:
        """Make the entry; tell whether it is new.

        One that is there already will do if it says the same: an import that broke off is repeated.

        Raises:
            ConflictError: there is another entry of that name.
            UnacceptableError: the manifest says what no entry can.
        """
        try:
            fields = msgspec.convert(manifest.fields, ModelFields)
        except msgspec.ValidationError as error:
            raise UnacceptableError(
                f"The export's entry is not what this hub takes: {str(error).replace('`', chr(39))}.",
                code="bad_export",
            ) from error
        for version in manifest.versions:
            names.check_version(version.version)
        try:
            entry = self._models.create(name, fields)
        except ConflictError:
            if _fields(self._models.get(name)) == _fields_of(manifest):
                return False
            raise ConflictError(
                f"There is another model named {name!r} already; import it under a new name with '?name=…'.",
                code="model_exists",
            ) from None
        if manifest.pinned is not None:
            self._models.pin(entry, names.check_version(manifest.pinned))
        return True

    def writer(self, name: str, version: ExportedVersion) -> BundleWriter:
        """Return where the bundle of a version goes."""
        self._uploads.check(_target(name, version))
        return self._uploads.begin()

    def finish(self, name: str, version: ExportedVersion, writer: BundleWriter) -> Uploaded:
        """Keep a bundle that was written as a whole.

        Raises:
            UnacceptableError: it is not the one that the manifest names.
            ConflictError: the version is there with other content.
        """
        if writer.seal().sha256 != version.sha256:
            raise UnacceptableError(
                f"The bundle of version {version.version!r} is not the one that the export's manifest "
                "names; it was damaged on its way, so export the model anew.",
                code="digest_mismatch",
            )
        return self._uploads.finish(_target(name, version), writer)

    def undo(self, name: str) -> list[Version]:
        """Remove an entry whose import failed; return what job pools must clear away."""
        return self._models.delete(name)

    def entry(self, name: str) -> Entry:
        """Return the entry as it is now."""
        return self._models.get(name)


def _fields(entry: Entry) -> dict[str, Any]:
    fields = {name: getattr(entry.model, name) for name in _FIELDS}
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(fields))
    return plain


def _fields_of(manifest: Manifest) -> dict[str, Any]:
    return {name: manifest.fields.get(name) for name in _FIELDS}


def _target(name: str, version: ExportedVersion) -> Target:
    return Target(model=name, version=version.version)
