"""The step that unpacks the bundle."""

from mlhub.storage.bundles import BundleStore
from mlhub.workers.bundle.archive import UnpackLimits, unpack
from mlhub.workers.deadline import Deadline
from mlhub.workers.validation.draft import Draft


class Archive:
    """Refuses traversal, links, devices, too many files, and archives that unpack to too much."""

    name = "archive"
    work = "Unpacking the bundle"

    def __init__(self, bundles: BundleStore, limits: UnpackLimits) -> None:
        self._bundles = bundles
        self._limits = limits

    def take(self, draft: Draft, deadline: Deadline) -> Draft:
        """Unpack it into the draft's folder."""
        with self._bundles.open(draft.version.bundle.key) as archive:
            unpack(archive, draft.folder, self._limits, deadline.check)
        return draft
