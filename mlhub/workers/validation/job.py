"""The job of an uploaded version: claim it, take the steps of validation, record the end."""

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from mlhub.common import logs
from mlhub.common.errors import MLHubError
from mlhub.common.model import ValidationStep, Version, VersionState
from mlhub.storage.database import now
from mlhub.storage.models import ModelStore
from mlhub.workers.adapters.base import BackendAdapter
from mlhub.workers.attempts import AttemptPolicy, SurpriseError, attempt
from mlhub.workers.bundle.archive import UnpackLimits
from mlhub.workers.lease import renewed
from mlhub.workers.records import Records
from mlhub.workers.validation.draft import Draft
from mlhub.workers.validation.pipeline import Pipeline
from mlhub.workers.validation.steps import Archive, Contents, Deployment, Example, Safety, ServerSignature
from mlhub.workers.validation.workspace import workspace

_LOG = logging.getLogger(__name__)


class BundleRules(msgspec.Struct, frozen=True):
    """What an uploaded bundle may be."""

    limits: UnpackLimits
    allow_pickles: bool
    work: Path
    """Folder to unpack in."""
    step_timeout: float
    """Seconds that each step may take."""


class LostError(MLHubError):
    """The version was removed or taken over by another job."""

    code = "lost"


class ValidationJob:
    """Brings uploaded versions of one backend to `ready` or `failed`."""

    def __init__(
        self,
        records: Records,
        models: ModelStore,
        adapter: BackendAdapter,
        policy: AttemptPolicy,
        rules: BundleRules,
    ) -> None:
        self._records = records
        self._models = models
        self._adapter = adapter
        self._policy = policy
        self._folder = rules.work
        steps = (
            Archive(records.bundles, rules.limits),
            Contents(allow_pickles=rules.allow_pickles),
            Safety(),
            Deployment(adapter),
            ServerSignature(adapter),
            Example(adapter),
        )
        self._pipeline = Pipeline(steps, rules.step_timeout)

    def run(self, deployment: str) -> None:
        """Validate unless another worker does, or it was done: a redelivered message does not run twice."""
        version = self._records.versions.claim(deployment, self._policy.lease)
        if version is None or version.state is not VersionState.VALIDATING:
            _LOG.info("version %s is in other hands or was validated", deployment)
            return
        with logs.working_for([version.request]):
            self._work_on(version)

    def _work_on(self, version: Version) -> None:
        deployment = version.deployment
        if self._policy.exhausted(version.attempts):
            self._fail(version, SurpriseError("Its workers died on it again and again; upload it again."))
            return
        try:
            with renewed(lambda: self._renew(version, self._policy.lease), self._policy.lease):
                found = attempt(lambda: self._validate(version))
        except LostError:
            _LOG.info("version %s went to another job, or was removed", deployment)
            self._drop_removed(version)
        except MLHubError as error:
            if self._policy.again(version.attempts, error):
                _LOG.warning("version %s will be tried again: %s", deployment, error)
                self._records.versions.release(deployment)
            else:
                self._fail(version, error)
        else:
            self._end(version, VersionState.READY, ready_at=now(), **found)

    def _validate(self, version: Version) -> dict[str, Any]:
        """Take each step; return what became known of the version."""
        model = self._models.get(version.model)

        def note(steps: tuple[ValidationStep, ...]) -> None:
            if not self._records.versions.note_steps(version, steps):
                raise LostError("The version is no longer this job's.")

        with workspace(self._folder, version.deployment) as folder:
            draft, steps = self._pipeline.run(Draft(version, model, folder), note)
        if draft.card is not None:
            self._records.cards.put(version.deployment, draft.card)
        return {
            "signature": msgspec.to_builtins(draft.known()),
            "labels": list(draft.found().description.labels),
            "image": msgspec.to_builtins(draft.found().description.image),
            "card": draft.card is not None,
            "example_output": None if draft.example_output is None else _json(draft.example_output),
            "steps": msgspec.to_builtins(steps),
        }

    def _renew(self, version: Version, lease: timedelta) -> bool:
        return self._records.versions.renew(version, lease)

    def _fail(self, version: Version, error: MLHubError) -> None:
        _LOG.warning("version %s failed: %s", version.deployment, error)
        # First: a version that failed may be uploaded again at once.
        self._undeploy(version)
        self._end(version, VersionState.FAILED, error=error.detail)

    def _end(self, version: Version, state: VersionState, **fields: Any) -> None:
        if not self._records.versions.conclude(version, state, **fields):
            self._drop_removed(version)
        self._records.catalogue.refresh(version.model)

    def _drop_removed(self, version: Version) -> None:
        """Leave nothing on the model server of a version that was removed while it was validated."""
        current = self._records.versions.by_deployment(version.deployment)
        if current is None or current.state is VersionState.REMOVING:
            self._undeploy(version)

    def _undeploy(self, version: Version) -> None:
        try:
            self._adapter.undeploy(version.model, version.deployment)
        except MLHubError as error:
            # Nothing predicts with it; what is left goes when the version is removed.
            _LOG.warning("version %s could not be taken from its server: %s", version.deployment, error)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
