"""Entries of models: created, changed, removed, with the versions that belong to them."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from mlhub.api.services.configured import require_backend
from mlhub.common import names
from mlhub.common.errors import ConflictError, NotFoundError, PreconditionFailedError, UnacceptableError
from mlhub.common.logs import REQUEST_ID
from mlhub.common.model import Model, ModelType, Version, VersionState, Visibility, summarise
from mlhub.common.settings import Settings
from mlhub.storage.catalogue import Catalogue
from mlhub.storage.database import now
from mlhub.storage.models import ModelStore
from mlhub.storage.paging import Page
from mlhub.storage.terms import ModelFilter
from mlhub.storage.versions import VersionStore


class ModelFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fields a client may set; those it leaves out keep what they have."""

    model: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    meta: dict[str, Any] | UnsetType = UNSET
    meta_data: dict[str, Any] | UnsetType = UNSET
    version: str | UnsetType | None = UNSET
    description: str | UnsetType = UNSET
    reference: str | UnsetType = UNSET
    discipline: str | UnsetType = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET
    backend: str | UnsetType = UNSET
    visibility: Visibility | UnsetType = UNSET
    input_example: Any = UNSET


class Entry(msgspec.Struct, frozen=True):
    """A model with its versions, newest first."""

    model: Model
    versions: list[Version]


_PLAIN = ("description", "reference", "discipline", "tags", "visibility", "input_example")
"""Fields that are kept as they are given."""


class ModelService:
    """What the calls on `/model/{name}` and `/models` mean."""

    def __init__(
        self, models: ModelStore, versions: VersionStore, catalogue: Catalogue, settings: Settings
    ) -> None:
        self._models = models
        self._versions = versions
        self._catalogue = catalogue
        self._settings = settings

    def exists(self, name: str) -> bool:
        """Tell whether there is an entry of that name.

        Raises:
            UnacceptableError: it is no name.
        """
        try:
            self._models.get(names.check_model(name))
        except NotFoundError:
            return False
        return True

    def create(self, name: str, fields: ModelFields) -> Entry:
        """Make a new entry.

        Raises:
            UnacceptableError: a field is missing or has no legal value.
            ConflictError: there is an entry of that name.
        """
        names.check_model(name)
        _check_name(name, fields)
        if fields.type is UNSET:
            known = ", ".join(ModelType)
            raise UnacceptableError(
                f"The field 'type' is missing; it is one of {known}.", code="missing_field"
            )
        model_type = ModelType.parse(fields.type)
        time = now()
        first = fields.version if isinstance(fields.version, str) else None
        model = Model(
            model=name,
            type=model_type,
            backend=self._backend(model_type, fields),
            created_at=time,
            updated_at=time,
            first_version=None if first is None else names.check_version(first),
            **_given(fields),
        )
        self._models.create(model)
        return Entry(model, [])

    def get(self, name: str) -> Entry:
        """Return an entry.

        Raises:
            NotFoundError: there is none.
        """
        model = self._models.get(names.check_model(name))
        versions = self._versions.of([name])[name]
        # The versions are the truth; the entry's own summary may lag behind them for a moment.
        state, latest = summarise(versions, model.pinned)
        return Entry(msgspec.structs.replace(model, state=state, version=latest), versions)

    def change(self, name: str, fields: ModelFields, accepts: "Accepts") -> Entry:
        """Change the fields that are given.

        Args:
            name: which entry.
            fields: what to change.
            accepts: tells whether the entry is still what the client took it for.

        Raises:
            NotFoundError: there is none.
            PreconditionFailedError: `accepts` says no.
            UnacceptableError: a field has no legal value.
        """
        _check_name(name, fields)
        while True:
            entry = self.get(name)
            accepts(entry)
            changed = self._changed(entry, fields)
            try:
                kept = self._models.replace(changed, expected=entry.model.revision)
            except PreconditionFailedError:
                # Somebody else was faster; look again, so that the change meets what is there now.
                continue
            if kept.pinned != entry.model.pinned:
                self._catalogue.refresh(name)
            state, latest = summarise(entry.versions, kept.pinned)
            return Entry(msgspec.structs.replace(kept, state=state, version=latest), entry.versions)

    def move(self, entry: Entry) -> list[Version]:
        """Have versions validated on the entry's backend whose own was taken out of the settings.

        Also those that were uploaded when no backend served their type. Versions that have failed, and those
        of other backends, stay what they are.

        Returns:
            The versions that wait for their validation now.
        """
        backend, moved = entry.model.backend, []
        if backend is None or backend not in self._settings.backends:
            return []
        for version in entry.versions:
            is_served = version.backend in self._settings.backends
            has_failed = version.state is VersionState.FAILED and version.backend is not None
            if is_served or has_failed:
                continue
            if self._versions.begin_again(version, backend, REQUEST_ID.get()):
                moved.append(self._versions.get(version.model, version.version))
        if moved:
            self._catalogue.refresh(entry.model.model)
        return moved

    def require_backend(self, model: Model) -> None:
        """See that a model can get versions.

        Raises:
            NotConfiguredError: its backend was taken out of the settings.
        """
        require_backend(model.model, model.backend, self._settings.backends)

    def pin(self, entry: Entry, version: str) -> None:
        """Set what `latest` means as soon as that version is ready; until then the newest ready one is.

        Raises:
            PreconditionFailedError: somebody else changed the entry.
        """
        changed = msgspec.structs.replace(entry.model, pinned=version)
        self._models.replace(changed, expected=entry.model.revision)

    def delete(self, name: str) -> list[Version]:
        """Remove an entry with all its versions; return the versions that job pools must clear away.

        Raises:
            NotFoundError: there is none.
        """
        model = self._models.get(names.check_model(name))
        versions = self._versions.of([name])[name]
        # Versions first: until the entry itself is gone, a client that got no answer can ask again.
        for version in versions:
            self._versions.begin_removal(version, REQUEST_ID.get())
        self._models.delete(model.model)
        return [version for version in versions if not self._forgotten(version)]

    def delete_version(self, name: str, version: str) -> list[Version]:
        """Remove one version; return what job pools must clear away.

        Raises:
            NotFoundError: there is no such model or version.
        """
        found = self.version(name, version)
        self._versions.begin_removal(found, REQUEST_ID.get())
        self._catalogue.refresh(name)
        return [] if self._forgotten(found) else [found]

    def _forgotten(self, version: Version) -> bool:
        """Clear a removed version away at once if no backend ever had it; tell whether that was so."""
        if version.backend is not None:
            return False
        self._catalogue.forget(version)
        return True

    def version(self, name: str, version: str) -> Version:
        """Return one version; `latest` is what the entry says it is.

        Raises:
            NotFoundError: there is no such model or version.
        """
        entry = self.get(name)
        return self._pick(entry, entry.model.version if version == names.LATEST else version)

    def bundle(self, name: str, version: str) -> Version:
        """Return the version whose bundle to send: where none is ready, the newest upload is the latest.

        Raises:
            NotFoundError: there is no such model or version.
        """
        entry = self.get(name)
        if version == names.LATEST:
            newest = entry.versions[0].version if entry.versions else None
            version = entry.model.version or newest or names.LATEST
        return self._pick(entry, version)

    def _pick(self, entry: Entry, wanted: str | None) -> Version:
        name = entry.model.model
        for candidate in entry.versions:
            if candidate.version == wanted:
                return candidate
        if wanted is None or wanted == names.LATEST:
            raise NotFoundError(f"The model {name!r} has no ready version yet.", code="version_not_found")
        names.check_version(wanted)
        raise NotFoundError(f"The model {name!r} has no version {wanted!r}.", code="version_not_found")

    def page(self, wanted: ModelFilter, sort: str, limit: int, cursor: str | None) -> Page[Entry]:
        """Return a page of entries."""
        page = self._models.page(wanted, sort, limit, cursor)
        return Page([Entry(item.model, item.versions) for item in page.items], page.following)

    def _changed(self, entry: Entry, fields: ModelFields) -> Model:
        model = entry.model
        changes: dict[str, Any] = _given(fields)
        if fields.type is not UNSET:
            changes["type"] = ModelType.parse(fields.type)
            if changes["type"] is not model.type and entry.versions:
                raise ConflictError(
                    f"The type of {model.model!r} cannot change while it has versions.", code="type_fixed"
                )
        # What a client read is what it may write back, also when that is not configured any more.
        if fields.backend not in {UNSET, model.backend} or changes.get("type", model.type) is not model.type:
            changes["backend"] = self._backend(changes.get("type", model.type), fields)
        if fields.version is not UNSET:
            changes["pinned"] = _pin(entry, fields.version)
        return msgspec.structs.replace(model, **changes)

    def _backend(self, model_type: ModelType, fields: ModelFields) -> str | None:
        if fields.backend is not UNSET:
            if fields.backend not in self._settings.backends:
                known = ", ".join(self._settings.backends)
                raise UnacceptableError(
                    f"There is no backend {fields.backend!r}; use one of {known}.", code="unknown_backend"
                )
            return fields.backend
        return self._settings.backend_for(model_type)


class Accepts:
    """A condition on the entry that a change is meant for; this one is always met."""

    def __call__(self, entry: Entry) -> None:
        """Let the entry pass.

        Raises:
            PreconditionFailedError: kinds with a condition, when it is not met.
        """


def _check_name(name: str, fields: ModelFields) -> None:
    if fields.model is not UNSET and fields.model != name:
        raise UnacceptableError(
            f"The field 'model' says {fields.model!r}, but the address says {name!r}.", code="name_mismatch"
        )


def _given(fields: ModelFields) -> dict[str, Any]:
    given = {name: getattr(fields, name) for name in _PLAIN}
    given["meta"] = fields.meta if fields.meta is not UNSET else fields.meta_data
    return {name: value for name, value in given.items() if value is not UNSET}


def _pin(entry: Entry, version: str | None) -> str | None:
    ready = [item.version for item in entry.versions if item.state is VersionState.READY]
    if version is None or version == names.LATEST:
        return None
    if version == entry.model.version:
        # What a client read is what it may write back, without holding back newer versions.
        return entry.model.pinned
    if version not in ready:
        raise UnacceptableError(
            f"Version {version!r} cannot be the latest: {entry.model.model!r} has no such ready one.",
            code="version_not_ready",
        )
    return version
