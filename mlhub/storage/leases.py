"""Leases on tasks that one process at a time does, whichever it is."""

from datetime import timedelta

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from mlhub.storage.database import Document, compare_and_set, now, translated


class LeaseStore:
    """Leases, in the collection `leases`; a document's key is the task."""

    def __init__(self, database: Database[Document]) -> None:
        self._leases = database["leases"]

    @translated()
    def take(self, task: str, holder: str, time: timedelta) -> bool:
        """Take or prolong the lease on a task; tell whether it is the holder's now.

        Args:
            task: what is to be done by one process only.
            holder: name of the process, unique.
            time: how long the lease lasts unless it is prolonged.
        """
        held: Document = {"holder": holder, "until": now() + time}
        if compare_and_set(self._leases, task, {"holder": holder}, {"$set": held}):
            return True
        if compare_and_set(self._leases, task, {"until": {"$lte": now()}}, {"$set": held}):
            return True
        try:
            self._leases.insert_one({"_id": task, **held})
        except DuplicateKeyError:
            return False
        return True

    @translated()
    def give_back(self, task: str, holder: str) -> None:
        """End the holder's lease; one that it does not have is left alone."""
        self._leases.delete_one({"_id": task, "holder": holder})
