"""The versions of models, each changing state by compare-and-set."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from pymongo import ASCENDING, DESCENDING
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from mlhub.common.errors import ConflictError, NotFoundError
from mlhub.common.model import TRANSITIONS, ValidationStep, Version, VersionState
from mlhub.storage.database import Document, compare_and_set, now, to_document, to_record, translated


class VersionStore:
    """Versions, in the collection `versions`; a document's key is its deployment."""

    def __init__(self, database: Database[Document]) -> None:
        self._versions = database["versions"]

    @translated()
    def create_indexes(self) -> None:
        """Make the indexes; those that exist stay."""
        self._versions.create_index("slot", unique=True)
        self._versions.create_index([("model", ASCENDING), ("created_at", DESCENDING)])
        self._versions.create_index("bundle.copy")
        self._versions.create_index("bundle.sha256")
        self._versions.create_index([("state", ASCENDING), ("published_at", ASCENDING)])
        self._versions.create_index([("backend", ASCENDING), ("state", ASCENDING)])

    @translated()
    def add(self, version: Version) -> None:
        """Keep a new version.

        Raises:
            ConflictError: the model has a version of that name.
        """
        document = to_document(version)
        document["_id"] = version.deployment
        document["slot"] = _slot(version)
        try:
            self._versions.insert_one(document)
        except DuplicateKeyError:
            raise ConflictError(
                f"Version {version.version!r} of {version.model!r} is there already with other content; "
                "give another version or delete that one first.",
                code="version_exists",
            ) from None

    @translated()
    def get(self, model: str, version: str) -> Version:
        """Return a version by the names a user gives.

        Raises:
            NotFoundError: there is none.
        """
        found = self.find(model, version)
        if found is None:
            raise no_version(model, version)
        return found

    @translated()
    def several(self, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Version]:
        """Return versions by the names of model and version, as far as there are any: in one query."""
        slots = sorted({f"{model}/{version}" for model, version in names})
        found = [to_record(document, Version) for document in self._versions.find({"slot": {"$in": slots}})]
        return {(version.model, version.version): version for version in found}

    @translated()
    def find(self, model: str, version: str) -> Version | None:
        """Return a version by the names a user gives, or nothing."""
        document = self._versions.find_one({"slot": f"{model}/{version}"})
        return None if document is None else to_record(document, Version)

    @translated()
    def by_deployment(self, deployment: str) -> Version | None:
        """Return a version by the name its model server knows, or nothing."""
        document = self._versions.find_one({"_id": deployment})
        return None if document is None else to_record(document, Version)

    @translated()
    def of(self, models: Iterable[str]) -> dict[str, list[Version]]:
        """Return the versions of each of `models`, newest first, without those being removed."""
        names = list(models)
        wanted: Document = {"model": {"$in": names}, "state": {"$ne": VersionState.REMOVING}}
        found: dict[str, list[Version]] = {name: [] for name in names}
        for document in self._versions.find(wanted).sort([("created_at", DESCENDING), ("_id", DESCENDING)]):
            found[document["model"]].append(to_record(document, Version))
        return found

    @translated()
    def next_number(self, model: str) -> str:
        """Return the next whole number as a version's name."""
        taken = (document["version"] for document in self._versions.find({"model": model}, {"version": 1}))
        return str(max((int(name) for name in taken if name.isascii() and name.isdigit()), default=0) + 1)

    @translated()
    def claim(self, deployment: str, lease: timedelta) -> Version | None:
        """Take a version to work on for the time of `lease`, unless another job holds it."""
        time = now()
        free: Document = {"$or": [{"lease_until": None}, {"lease_until": {"$lte": time}}]}
        open_states = {"state": {"$in": [VersionState.VALIDATING, VersionState.REMOVING]}}
        taken: Document = {"$set": {"lease_until": time + lease}, "$inc": {"attempts": 1}}
        if not compare_and_set(self._versions, deployment, {**free, **open_states}, taken):
            return None
        return self.by_deployment(deployment)

    @translated()
    def release(self, deployment: str) -> None:
        """Give a claimed version back, so that the sweeper has another job try."""
        compare_and_set(
            self._versions, deployment, {}, {"$set": {"lease_until": None, "published_at": now()}}
        )

    @translated()
    def renew(self, version: Version, lease: timedelta) -> bool:
        """Prolong the claim that gave `version`; tell whether it still was in force."""
        return self._claimed(version, {"lease_until": now() + lease})

    @translated()
    def note_steps(self, version: Version, steps: Sequence[ValidationStep]) -> bool:
        """Write down how far the job that claimed `version` is; tell whether it still is that job's."""
        return self._claimed(version, {"steps": msgspec.to_builtins(list(steps))})

    def _claimed(self, version: Version, values: Document) -> bool:
        """Set values unless another job claimed the version since, or it was removed."""
        held = {"state": version.state, "attempts": version.attempts}
        return compare_and_set(self._versions, version.deployment, held, {"$set": values})

    @translated()
    def conclude(self, version: Version, state: VersionState, **fields: Any) -> bool:
        """End the work of the job that claimed `version`; tell whether it still was that job's."""
        return self._claimed(version, {"state": state, "lease_until": None, **fields})

    @translated()
    def begin_again(self, version: Version, backend: str, request: str) -> bool:
        """Have a version validated once more, on `backend`, as a request wants it.

        Returns:
            Whether that is legal, and the version is still what it was when it was read.
        """
        if VersionState.VALIDATING not in TRANSITIONS[version.state]:
            return False
        seen: Document = {"state": version.state, "backend": version.backend}
        values: Document = {
            "state": VersionState.VALIDATING,
            "backend": backend,
            "error": None,
            "lease_until": None,
            "attempts": 0,
            "published_at": now(),
            "request": request,
        }
        return compare_and_set(self._versions, version.deployment, seen, {"$set": values})

    @translated()
    def begin_removal(self, version: Version, request: str) -> None:
        """Take a version from its users at once, as a request wants it; its name is free again."""
        values = {
            "state": VersionState.REMOVING,
            "slot": f"{_slot(version)}#{version.deployment}",
            "lease_until": None,
            "attempts": 0,
            "published_at": now(),
            "request": request,
        }
        compare_and_set(self._versions, version.deployment, {}, {"$set": values})

    @translated()
    def forget(self, deployment: str) -> None:
        """Drop the record of a version that is gone from its model server."""
        self._versions.delete_one({"_id": deployment})

    @translated()
    def uses_bundle(self, key: str) -> bool:
        """Tell whether a version that is not being removed has the bundle with this key."""
        wanted: Document = {"bundle.copy": key}
        if "." not in key:
            wanted = {"bundle.sha256": key, "bundle.copy": {"$in": ["", None]}}
        wanted["state"] = {"$ne": VersionState.REMOVING}
        return self._versions.find_one(wanted, {"_id": 1}) is not None

    @translated()
    def unworked(self, since: datetime, limit: int) -> list[Version]:
        """Return versions with work left, no lease on them, and a message older than `since`."""
        wanted: Document = {
            "state": {"$in": [VersionState.VALIDATING, VersionState.REMOVING]},
            "$and": [
                {"$or": [{"published_at": None}, {"published_at": {"$lte": since}}]},
                {"$or": [{"lease_until": None}, {"lease_until": {"$lte": now()}}]},
            ],
        }
        return [to_record(document, Version) for document in self._versions.find(wanted).limit(limit)]

    @translated()
    def ready(self, backend: str) -> list[Version]:
        """Return all versions that the servers of a backend should have."""
        wanted: Document = {"state": VersionState.READY, "backend": backend}
        without = {"signature": 0, "labels": 0, "example_output": 0, "steps": 0}
        return [to_record(document, Version) for document in self._versions.find(wanted, without)]

    @translated()
    def mark_published(self, version: Version) -> bool:
        """Note that the version's message goes out again; false when another sweeper was faster."""
        return compare_and_set(
            self._versions,
            version.deployment,
            {"published_at": version.published_at},
            {"$set": {"published_at": now()}},
        )


def _slot(version: Version) -> str:
    return f"{version.model}/{version.version}"


def no_version(model: str, version: str) -> NotFoundError:
    """Say that the model has no such version."""
    return NotFoundError(f"The model {model!r} has no version {version!r}.", code="version_not_found")
