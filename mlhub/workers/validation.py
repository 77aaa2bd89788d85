"""The job of an uploaded version: unpack, inspect, deploy, ask for the signature, try the example."""

import logging
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from mlhub.common import rows, tensor
from mlhub.common.errors import BackendError, MLHubError, UnacceptableError
from mlhub.common.model import Model, Version, VersionState
from mlhub.common.signature import Signature
from mlhub.storage.database import now
from mlhub.storage.models import ModelStore
from mlhub.workers.adapters.base import BackendAdapter
from mlhub.workers.attempts import AttemptPolicy, attempt
from mlhub.workers.bundle.archive import UnpackLimits, unpack
from mlhub.workers.bundle.contents import BundleContents, inspect
from mlhub.workers.records import Records

_LOG = logging.getLogger(__name__)


class BundleRules(msgspec.Struct, frozen=True):
    """What an uploaded bundle may be."""

    limits: UnpackLimits
    allow_pickles: bool
    work: Path
    """Folder to unpack in."""


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
        self._rules = rules

    def run(self, deployment: str) -> None:
        """Validate unless another worker does, or it was done: a redelivered message does not run twice."""
        version = self._records.versions.claim(deployment, self._policy.lease)
        if version is None or version.state is not VersionState.VALIDATING:
            _LOG.info("version %s is in other hands or was validated", deployment)
            return
        if self._policy.exhausted(version.attempts):
            self._fail(version, "Its workers died on it again and again; upload it again.")
            return
        try:
            found = attempt(lambda: self._validate(version))
        except MLHubError as error:
            if self._policy.again(version.attempts, error):
                _LOG.warning("version %s will be tried again: %s", deployment, error)
                self._records.versions.release(deployment)
            else:
                self._fail(version, error.detail)
            return
        self._end(version, VersionState.READY, ready_at=now(), **found)

    def _validate(self, version: Version) -> dict[str, Any]:
        """Take each step; return what became known of the version."""
        model = self._models.get(version.model)
        self._rules.work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._rules.work) as name:
            folder = Path(name)
            with self._records.bundles.open(version.bundle.sha256) as archive:
                unpack(archive, folder, self._rules.limits)
            contents = inspect(folder, model.type, allow_pickles=self._rules.allow_pickles)
            self._adapter.deploy(version.model, version.deployment, contents.root)
        signature = contents.description.signature or self._signature(version)
        self._try_example(version, model, contents, signature)
        return {
            "signature": msgspec.to_builtins(signature),
            "labels": list(contents.description.labels),
        }

    def _signature(self, version: Version) -> Signature:
        signature = self._adapter.signature(version.model, version.deployment)
        if not signature.inputs:
            raise UnacceptableError(
                "The model server does not say what the model takes.", code="no_signature"
            )
        return signature

    def _try_example(
        self, version: Version, model: Model, contents: BundleContents, signature: Signature
    ) -> None:
        example = contents.description.input_example
        if example is None:
            example = model.input_example
        if example is None:
            return
        raw = msgspec.Raw(msgspec.json.encode(example))
        try:
            given = rows.from_json(raw, signature, "/input_example")
            inputs = [tensor.encode(name, array) for name, array in given.inputs.items()]
            self._adapter.predict(version.model, version.deployment, inputs)
        except (UnacceptableError, BackendError) as error:
            if isinstance(error, BackendError) and error.code != "backend_refused":
                raise
            raise UnacceptableError(
                f"The model does not run on its own example input: {error.detail}", code="bad_example"
            ) from error

    def _fail(self, version: Version, reason: str) -> None:
        _LOG.warning("version %s failed: %s", version.deployment, reason)
        self._end(version, VersionState.FAILED, error=reason)
        self._undeploy(version)

    def _end(self, version: Version, state: VersionState, **fields: Any) -> None:
        if not self._records.versions.change(version.deployment, state, **fields):
            # It was removed while it was validated, so nothing of it may stay on the model server.
            self._undeploy(version)
        self._records.catalogue.refresh(version.model)

    def _undeploy(self, version: Version) -> None:
        try:
            self._adapter.undeploy(version.model, version.deployment)
        except MLHubError as error:
            # Nothing predicts with it; what is left goes when the version is removed.
            _LOG.warning("version %s could not be taken from its server: %s", version.deployment, error)
