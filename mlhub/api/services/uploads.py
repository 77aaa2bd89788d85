"""Uploads: a body becomes a bundle in the store, and a version that waits for validation."""

import secrets
from typing import Final

import msgspec

from mlhub.common import names
from mlhub.common.archive import archive_kind
from mlhub.common.errors import ConflictError, NotFoundError, UnacceptableError, UnavailableError
from mlhub.common.model import Bundle, Model, Version, VersionState
from mlhub.storage.bundles import BundleWriter
from mlhub.storage.catalogue import Catalogue
from mlhub.storage.database import now
from mlhub.storage.models import ModelStore
from mlhub.storage.shelf import BundleShelf, Held
from mlhub.storage.versions import VersionStore

_NO_BACKEND: Final = (
    "No backend of this hub serves {} models; the bundle is kept, and can be downloaded and uploaded again."
)


class Uploaded(msgspec.Struct, frozen=True):
    """What became of an upload."""

    version: Version
    created: bool
    """False when the very same content was there under this version already."""


class UploadService:
    """What the calls on `/model/{name}/upload` mean."""

    def __init__(
        self, models: ModelStore, versions: VersionStore, catalogue: Catalogue, shelf: BundleShelf
    ) -> None:
        self._models = models
        self._versions = versions
        self._catalogue = catalogue
        self._shelf = shelf

    def begin(self, name: str, version: str | None) -> BundleWriter:
        """Check what can be checked before the body is read, and return where to write it.

        Raises:
            NotFoundError: there is no such model.
            UnacceptableError: the version's name is none.
        """
        self._models.get(names.check_model(name))
        if version is not None:
            names.check_version(version)
        return self._shelf.create()

    def finish(self, name: str, version: str | None, writer: BundleWriter) -> Uploaded:
        """Keep a body that was written as a whole, as a new version.

        Raises:
            UnacceptableError: it is no archive.
            ConflictError: the version is there with other content.
            NotFoundError: the model was removed meanwhile.
        """
        kind = archive_kind(writer.seal().head)
        if kind is None:
            raise UnacceptableError(
                "The body is no bundle: send a tar, a tar.gz or a zip.", code="not_an_archive"
            )
        held = self._shelf.keep(writer)
        try:
            uploaded = self._add(self._models.get(name), version, held, kind.suffix)
        except BaseException:
            self._shelf.drop(held)
            raise
        return uploaded

    def settle(self, name: str) -> None:
        """Have the entry tell what its versions are: the job that changed one may not have come to it yet."""
        self._catalogue.refresh(name)

    def _add(self, model: Model, wanted: str | None, held: Held, suffix: str) -> Uploaded:
        while True:
            name = wanted or self._default_name(model)
            time = now()
            version = Version(
                deployment=f"{name}-{secrets.token_hex(4)}",
                model=model.model,
                version=name,
                backend=model.backend,
                state=VersionState.FAILED if model.backend is None else VersionState.VALIDATING,
                error=_NO_BACKEND.format(model.type) if model.backend is None else None,
                bundle=Bundle(
                    held.stored.sha256, held.stored.size, f"{model.model}-{name}{suffix}", held.key
                ),
                created_at=time,
                published_at=time,
            )
            try:
                self._versions.add(version)
            except ConflictError:
                there = self._versions.find(model.model, name)
                if there is not None and there.bundle.sha256 == held.stored.sha256:
                    self._shelf.drop(held)
                    return self._again(there)
                if wanted is None:
                    # Another upload took the next number; take the one after.
                    continue
                raise
            self._confirm(version, held)
            self._catalogue.refresh(model.model)
            return Uploaded(version, created=True)

    def _again(self, there: Version) -> Uploaded:
        """Take the same content again: validate it once more if it failed, else leave it."""
        if there.state is not VersionState.FAILED or there.backend is None:
            return Uploaded(there, created=False)
        fields = {"error": None, "attempts": 0, "published_at": now()}
        created = self._versions.change(there.deployment, VersionState.VALIDATING, **fields)
        self._catalogue.refresh(there.model)
        return Uploaded(self._versions.get(there.model, there.version), created=created)

    def _default_name(self, model: Model) -> str:
        if model.first_version is not None and not self._versions.of([model.model])[model.model]:
            return model.first_version
        return self._versions.next_number(model.model)

    def _confirm(self, version: Version, held: Held) -> None:
        """See that model and bundle are there still, now that the record holds them."""
        try:
            self._models.get(version.model)
        except NotFoundError:
            self._versions.forget(version.deployment)
            raise
        if not self._shelf.give_back(held):
            self._versions.forget(version.deployment)
            raise UnavailableError("The upload took too long to be recorded; send it again.")
