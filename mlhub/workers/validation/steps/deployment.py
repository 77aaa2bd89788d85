"""The step that hands the model to its server."""

from mlhub.workers.adapters.base import BackendAdapter
from mlhub.workers.deadline import Deadline
from mlhub.workers.validation.draft import Draft


class Deployment:
    """Has the model server load the version; how long that may take is the backend's setting."""

    name = "deployment"
    work = "Loading the model"

    def __init__(self, adapter: BackendAdapter) -> None:
        self._adapter = adapter

    def take(self, draft: Draft, deadline: Deadline) -> Draft:
        """Deploy it."""
        self._adapter.deploy(draft.version.model, draft.version.deployment, draft.found().root)
        deadline.check()
        return draft
