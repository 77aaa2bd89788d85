"""What holds between models, versions and bundles: summaries are true, and bundles go with their last use."""

from typing import Final

import msgspec

from mlhub.common.errors import NotFoundError, PreconditionFailedError
from mlhub.common.model import Version, summarise
from mlhub.storage.cards import CardStore
from mlhub.storage.models import ModelStore
from mlhub.storage.shelf import BundleShelf
from mlhub.storage.versions import VersionStore

_SHOWN: Final = 50
"""Versions of an entry that lists show, the newest."""


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
                kept = self._models.listed(name)
            except NotFoundError:
                return
            model = kept.model
            versions = self._versions.of([name])[name]
            state, latest = summarise(versions, model.pinned)
            shown = [_brief(version) for version in versions[:_SHOWN]]
            if (state, latest, shown) == (model.state, model.version, kept.versions):
                return
            try:
                changed = msgspec.structs.replace(model, state=state, version=latest)
                self._models.replace(changed, expected=model.revision, versions=shown)
            except PreconditionFailedError:
                continue
            return

    def forget(self, version: Version) -> None:
        """Drop a removed version's record, and its bundle when no other version has the same."""
        self._shelf.collect(version.bundle.key)
        self._cards.forget(version.deployment)
        self._versions.forget(version.deployment)


def _brief(version: Version) -> Version:
    """Leave out what lists do not show, and what changes while a job works."""
    return msgspec.structs.replace(
        version, labels=(), steps=(), example_output=None, attempts=0, lease_until=None, published_at=None
    )
