"""The step that looks for pickles that would run code."""

from mlhub.workers.bundle.pickles import scan
from mlhub.workers.deadline import Deadline
from mlhub.workers.validation.draft import Draft


class Safety:
    """Has every pickle of the bundle read, without loading it, by a process of its own.

    Which types a skops file may hold is the model server's to say, at deployment: it knows which ones its
    administrator trusts.
    """

    name = "safety"
    work = "Looking for unsafe pickles"

    def take(self, draft: Draft, deadline: Deadline) -> Draft:
        """Refuse the bundle if one of them names what could harm this hub."""
        scan(draft.folder, deadline)
        return draft
