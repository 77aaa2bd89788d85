"""The cards of versions: the READMEs of their bundles, apart from the records, since lists need none."""

from pymongo.database import Database

from mlhub.storage.database import Document, translated


class CardStore:
    """Cards, in the collection `cards`; a document's key is the deployment."""

    def __init__(self, database: Database[Document]) -> None:
        self._cards = database["cards"]

    @translated()
    def put(self, deployment: str, text: str) -> None:
        """Keep a version's card, in place of an older one."""
        self._cards.update_one({"_id": deployment}, {"$set": {"text": text}}, upsert=True)

    @translated()
    def get(self, deployment: str) -> str | None:
        """Return a version's card, or nothing."""
        document = self._cards.find_one({"_id": deployment})
        return None if document is None else str(document["text"])

    @translated()
    def forget(self, deployment: str) -> None:
        """Drop a version's card; one that is not there is fine."""
        self._cards.delete_one({"_id": deployment})
