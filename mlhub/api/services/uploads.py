"""Uploads: a body becomes a bundle in the store, and a version that waits for validation."""

import secrets
from typing import Final

import msgspec
from msgspec import UNSET

from mlhub.api.services.models import Accepts, ModelFields, ModelService
from mlhub.common import names
from mlhub.common.archive import archive_kind
from mlhub.common.errors import (
    ConflictError,
    MLHubError,
    NotFoundError,
    UnacceptableError,
    UnavailableError,
)
from mlhub.common.logs import REQUEST_ID
from mlhub.common.model import Bundle, Model, ModelType, Version, VersionState
from mlhub.storage.bundles import BundleWriter
from mlhub.storage.catalogue import Catalogue
from mlhub.storage.database import now
from mlhub.storage.models import ModelStore
from mlhub.storage.shelf import BundleShelf, Held
from mlhub.storage.versions import VersionStore

_NO_BACKEND: Final = (
    "No backend of this hub serves {} models; the bundle is kept, and can be downloaded and uploaded again."
)


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where an upload goes."""

    model: str
    """Name of the entry."""
    version: str | None = None
    """Name of the version; the next whole number unless given."""
    fields: ModelFields = ModelFields()
    """What the client says of the entry."""
    may_create: bool = False
    """Whether the entry is made of `fields` where there is none."""
    must_create: bool = False
    """Whether there may be no such entry yet."""
    token: str | None = None
    """Part of the deployment's name, which makes an upload that is finished twice be one version."""


class Uploaded(msgspec.Struct, frozen=True):
    """What became of an upload."""

    version: Version
    created: bool
    """False when the very same content was there under this version already."""
    entry_created: bool = False
    """Whether the entry came with it."""


class UploadService:
    """What the calls that bring bundles mean."""

    def __init__(
        self,
        models: ModelStore,
        versions: VersionStore,
        catalogue: Catalogue,
        shelf: BundleShelf,
        entries: ModelService,
    ) -> None:
        self._models = models
        self._versions = versions
        self._catalogue = catalogue
        self._shelf = shelf
        self._entries = entries

    def begin(self) -> BundleWriter:
        """Return where to write a body.

        Raises:
            UnavailableError: the store takes none.
        """
        return self._shelf.create()

    def check(self, target: Target) -> None:
        """Check what can be checked before the body is read.

        Raises:
            NotFoundError: there is no such model, and the upload makes none.
            ConflictError: there is one already, and there may be none; or its backend was taken out of the
                settings.
            UnacceptableError: a name is none.
        """
        names.check_model(target.model)
        if target.version is not None:
            names.check_version(target.version)
        if target.must_create:
            self._require_new(target.model)
            return
        model = self._existing(target)
        if model is not None:
            self._entries.require_backend(model)

    def finish(self, target: Target, writer: BundleWriter) -> Uploaded:
        """Keep a body that was written as a whole, as a new version; keep nothing if that cannot be.

        Raises:
            UnacceptableError: it is no archive, or a field has no legal value.
            ConflictError: the version is there with other content, or the entry contradicts the fields.
            NotFoundError: there is no such model.
            UnavailableError: the store or the database takes nothing.
        """
        self.check(target)
        kind = archive_kind(writer.seal().head)
        if kind is None:
            raise UnacceptableError(
                "The body is no bundle: send a tar, a tar.gz or a zip.", code="not_an_archive"
            )
        held = self._shelf.keep(writer)
        try:
            return self._record(target, held, kind.suffix)
        except BaseException:
            self._shelf.drop(held)
            raise

    def settle(self, name: str) -> None:
        """Have the entry tell what its versions are: the job that changed one may not have come to it yet."""
        self._catalogue.refresh(name)

    def undo(self, uploaded: Uploaded) -> list[Version]:
        """Take back an entry that came with a version which is no good; return what job pools must clear.

        An entry that has got other versions meanwhile stays.
        """
        name = uploaded.version.model
        others = [
            version
            for version in self._versions.of([name])[name]
            if version.deployment != uploaded.version.deployment
        ]
        return [] if others or not uploaded.entry_created else self._entries.delete(name)

    def _record(self, target: Target, held: Held, suffix: str) -> Uploaded:
        model, is_new = self._entry(target)
        try:
            uploaded = self._add(model, target, held, suffix)
        except MLHubError:
            if is_new and not self._versions.of([model.model])[model.model]:
                self._models.delete(model.model)
            raise
        changes = msgspec.structs.replace(target.fields, model=UNSET, type=UNSET, version=UNSET)
        if not is_new and changes != ModelFields():
            self._entries.change(model.model, changes, Accepts())
        return msgspec.structs.replace(uploaded, entry_created=is_new)

    def _entry(self, target: Target) -> tuple[Model, bool]:
        """Return the entry, and whether it was made now."""
        model = None if target.must_create else self._existing(target)
        if model is not None:
            _check_type(model, target.fields)
            return model, False
        return self._entries.create(target.model, target.fields).model, True

    def _existing(self, target: Target) -> Model | None:
        """Return the entry; nothing where there is none and the upload may make it."""
        try:
            return self._models.get(target.model)
        except NotFoundError:
            if not target.may_create:
                raise
            return None

    def _require_new(self, name: str) -> None:
        try:
            self._models.get(name)
        except NotFoundError:
            return
        raise ConflictError(
            f"There is a model named {name!r} already; upload a version to /model/{name}/upload.",
            code="model_exists",
        )

    def _add(self, model: Model, target: Target, held: Held, suffix: str) -> Uploaded:
        stored = held.stored
        before = self._finished(model, target)
        if before is not None:
            self._shelf.drop(held)
            return Uploaded(before, created=True)
        while True:
            name = target.version or self._default_name(model)
            time = now()
            version = Version(
                deployment=f"{name}-{target.token or secrets.token_hex(4)}",
                model=model.model,
                version=name,
                backend=model.backend,
                state=VersionState.FAILED if model.backend is None else VersionState.VALIDATING,
                error=_NO_BACKEND.format(model.type) if model.backend is None else None,
                bundle=Bundle(stored.sha256, stored.size, f"{model.model}-{name}{suffix}", held.key),
                created_at=time,
                published_at=time,
                request=REQUEST_ID.get(),
            )
            try:
                self._versions.add(version)
            except ConflictError:
                there = self._versions.find(model.model, name)
                if there is not None and there.bundle.sha256 == stored.sha256:
                    self._shelf.drop(held)
                    return self._again(there, model.backend)
                if target.version is None:
                    # Another upload took the next number; take the one after.
                    continue
                raise
            self._confirm(version, held)
            self._catalogue.refresh(model.model)
            return Uploaded(version, created=True)

    def _finished(self, model: Model, target: Target) -> Version | None:
        """Find the version that this upload made when it was finished before."""
        if target.token is None:
            return None
        made = (item for item in self._versions.of([model.model])[model.model])
        return next((item for item in made if item.deployment.endswith(f"-{target.token}")), None)

    def _again(self, there: Version, backend: str | None) -> Uploaded:
        """Take the same content again: validate it once more, on the model's backend, if it failed."""
        if there.state is not VersionState.FAILED or backend is None:
            return Uploaded(there, created=False)
        created = self._versions.begin_again(there, backend, REQUEST_ID.get())
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


def _check_type(model: Model, fields: ModelFields) -> None:
    if fields.type is not UNSET and ModelType.parse(fields.type) is not model.type:
        raise ConflictError(
            f"The model {model.model!r} is of type {model.type}, and the upload says {fields.type}.",
            code="type_fixed",
        )
