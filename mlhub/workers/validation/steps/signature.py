"""The step that asks what the model takes and gives."""

import msgspec

from mlhub.common.errors import UnacceptableError
from mlhub.workers.adapters.base import BackendAdapter
from mlhub.workers.deadline import Deadline
from mlhub.workers.validation.draft import Draft


class ServerSignature:
    """Takes the bundle's word for it, else the model server's."""

    name = "signature"
    work = "Asking the model server for the signature"

    def __init__(self, adapter: BackendAdapter) -> None:
        self._adapter = adapter

    def take(self, draft: Draft, deadline: Deadline) -> Draft:
        """Ask."""
        signature = draft.found().description.signature
        if signature is None:
            signature = self._adapter.signature(draft.version.model, draft.version.deployment)
        deadline.check()
        if not signature.inputs:
            raise UnacceptableError(
                "The model server does not say what the model takes; "
                "say it in the bundle's mlhub.json under 'signature'.",
                code="no_signature",
            )
        return msgspec.structs.replace(draft, signature=signature)
