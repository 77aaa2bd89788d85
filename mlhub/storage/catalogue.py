"""What holds between models, versions and bundles: summaries are true, and bundles go with their last use."""

import msgspec

from mlhub.common.errors import NotFoundError, PreconditionFailedError
from mlhub.common.model import Version, summarise
from mlhub.storage.cards import CardStore
from mlhub.storage.models import ModelStore
from mlhub.storage.shelf import BundleShelf
from mlhub.storage.versions import VersionStore


class Catalogue:
    """Keeps summaries in entries equal to what their versions add up to; clears removed versions away."""

    def __init__(
        self, models: ModelStore, versions: VersionStore, shelf: BundleShelf, cards: CardStore
    ) -> None:
        self._models = models
        self._versions = versions
        self._shelf = shelf
        self._cards = cards

    def refresh(self, name: str) -> None:
        """Bring an entry's summary up to date; safe to call at any time, from any process.

        The versions are the truth. Whoever changes one calls this afterwards; so two changes at once
        end with a summary of both, whichever call comes last.
        """
        while True:
            try:
                model = self._models.get(name)
            except NotFoundError:
                return
            state, latest = summarise(self._versions.of([name])[name], model.pinned)
            if (state, latest) == (model.state, model.version):
                return
            try:
                changed = msgspec.structs.replace(model, state=state, version=latest)
                self._models.replace(changed, expected=model.revision)
            except PreconditionFailedError:
                continue
            return

    def forget(self, version: Version) -> None:
        """Drop a removed version's record, and its bundle when no other version has the same."""
        self._shelf.collect(version.bundle.key)
        self._cards.forget(version.deployment)
        self._versions.forget(version.deployment)
