"""The reconciler: gives model servers back what they should have and do not.

That a version is ready is the wish, what the servers have is how things are; this compares the two every so
often. So a server that comes up empty, or a new one, gets all versions without anybody's help.
"""

import logging
import secrets
import threading
from datetime import timedelta
from typing import Final

from mlhub.common.errors import MLHubError
from mlhub.common.model import Version, VersionState
from mlhub.storage.leases import LeaseStore
from mlhub.workers.adapters.base import BackendAdapter
from mlhub.workers.bundle.archive import unpack
from mlhub.workers.bundle.contents import root_of
from mlhub.workers.records import Records
from mlhub.workers.validation.job import BundleRules
from mlhub.workers.validation.workspace import workspace

_LOG = logging.getLogger(__name__)

_LEASE: Final = timedelta(seconds=60)
"""How long the reconciler of a process that died keeps those of others from acting."""


class Reconciler:
    """Looks after the servers of one backend; of several processes, one does."""

    def __init__(
        self,
        backend: str,
        records: Records,
        adapter: BackendAdapter,
        leases: LeaseStore,
        rules: BundleRules,
        stopping: threading.Event,
    ) -> None:
        """Remember what is needed.

        Args:
            backend: whose servers.
            records: what they should have.
            adapter: what speaks to them.
            leases: by which one process acts.
            rules: how a bundle is unpacked.
            stopping: set when no further version is to be begun.
        """
        self._backend = backend
        self._records = records
        self._adapter = adapter
        self._leases = leases
        self._rules = rules
        self._task = f"reconcile.{backend}"
        self._holder = secrets.token_hex(8)
        self._stopping = stopping

    def reconcile(self) -> int:
        """Deploy what is missing, if no other process does; return how many versions that were.

        Raises:
            BackendError: the servers do not tell what they have.
            UnavailableError: the database is away.
        """
        if not self._leases.take(self._task, self._holder, _LEASE):
            return 0
        # In this order: a version that becomes ready in between is on the servers already.
        ready = self._records.versions.ready(self._backend)
        there = self._adapter.deployments() if ready else frozenset()
        missing = [version for version in ready if (version.model, version.deployment) not in there]
        count = sum(self._restored(version) for version in missing)
        if count:
            _LOG.info("%d versions were given back to the servers of %s", count, self._backend)
        return count

    def give_back(self) -> None:
        """Leave it to another process.

        Raises:
            UnavailableError: the database is away; it learns of it when the lease ends.
        """
        self._leases.give_back(self._task, self._holder)

    def _restored(self, version: Version) -> bool:
        if self._stopping.is_set() or not self._leases.take(self._task, self._holder, _LEASE):
            return False
        try:
            return self._restore(version)
        except MLHubError as error:
            _LOG.warning("version %s of %s cannot be restored yet: %s", version.version, version.model, error)
            return False

    def _restore(self, version: Version) -> bool:
        if not self._is_ready(version):
            return False
        with workspace(self._rules.work, version.deployment) as folder:
            with self._records.bundles.open(version.bundle.key) as archive:
                unpack(archive, folder, self._rules.limits)
            self._adapter.deploy(version.model, version.deployment, root_of(folder))
        if not self._is_ready(version):
            # It was removed meanwhile, and perhaps undeployed before this deployed it.
            self._adapter.undeploy(version.model, version.deployment)
            return False
        return True

    def _is_ready(self, version: Version) -> bool:
        current = self._records.versions.by_deployment(version.deployment)
        return current is not None and current.state is VersionState.READY
