"""The job of a removed version: off its model server, its bundle away when nothing else uses it."""

import logging

from mlhub.common import logs
from mlhub.common.errors import MLHubError
from mlhub.common.model import Version, VersionState
from mlhub.workers.adapters.base import BackendAdapter
from mlhub.workers.attempts import AttemptPolicy
from mlhub.workers.lease import renewed
from mlhub.workers.records import Records

_LOG = logging.getLogger(__name__)


class RemovalJob:
    """Clears away what removed versions of one backend leave."""

    def __init__(self, records: Records, adapter: BackendAdapter, policy: AttemptPolicy) -> None:
        self._records = records
        self._adapter = adapter
        self._policy = policy

    def run(self, deployment: str) -> None:
        """Clear away unless another worker does; the record stays, and is tried again, until it succeeds."""
        version = self._records.versions.claim(deployment, self._policy.lease)
        if version is None or version.state is not VersionState.REMOVING:
            return
        with logs.working_for([version.request]):
            self._clear_away(version)

    def _clear_away(self, version: Version) -> None:
        lease = self._policy.lease
        try:
            with renewed(lambda: self._records.versions.renew(version, lease), lease):
                self._adapter.undeploy(version.model, version.deployment)
        except MLHubError as error:
            _LOG.warning("version %s could not be taken from its server yet: %s", version.deployment, error)
            self._records.versions.release(version.deployment)
            return
        self._records.catalogue.forget(version)
