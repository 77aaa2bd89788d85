"""The step that unpacks the bundle."""

import hashlib
from typing import BinaryIO, Final

from mlhub.common.errors import UnacceptableError
from mlhub.storage.bundles import BundleStore
from mlhub.workers.bundle.archive import UnpackLimits, unpack
from mlhub.workers.deadline import Deadline
from mlhub.workers.validation.draft import Draft

_PIECE: Final = 1024 * 1024


class Archive:
    """Refuses damaged copies, traversal, links, devices, too many files, and what unpacks to too much."""

    name = "archive"
    work = "Unpacking the bundle"

    def __init__(self, bundles: BundleStore, limits: UnpackLimits) -> None:
        self._bundles = bundles
        self._limits = limits

    def take(self, draft: Draft, deadline: Deadline) -> Draft:
        """Unpack it into the draft's folder."""
        with self._bundles.open(draft.version.bundle.key) as archive:
            if _sha256(archive, deadline) != draft.version.bundle.sha256:
                raise UnacceptableError(
                    "The hub's copy of this bundle is damaged; delete the version and upload it again.",
                    code="bundle_damaged",
                )
            unpack(archive, draft.folder, self._limits, deadline.check)
        return draft


def _sha256(archive: BinaryIO, deadline: Deadline) -> str:
    digest = hashlib.sha256()
    while piece := archive.read(_PIECE):
        deadline.check()
        digest.update(piece)
    archive.seek(0)
    return digest.hexdigest()
