"""What a model's versions say of the model: its state and its latest version, kept with the entry."""

import msgspec

from mlhub.common.errors import NotFoundError, PreconditionFailedError
from mlhub.common.model import summarise
from mlhub.storage.models import ModelStore
from mlhub.storage.versions import VersionStore


class Catalogue:
    """Keeps the summary in an entry equal to what its versions add up to."""

    def __init__(self, models: ModelStore, versions: VersionStore) -> None:
        self._models = models
        self._versions = versions

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
