"""What an API process keeps things in: one database, one bundle store."""

from datetime import timedelta
from typing import Final

from mlhub.api.operations.history import STEP
from mlhub.common.rounds import Rounds
from mlhub.common.settings import Settings
from mlhub.storage.bulks import BulkStore
from mlhub.storage.cards import CardStore
from mlhub.storage.catalogue import Catalogue
from mlhub.storage.copies import CopyStore
from mlhub.storage.database import connect
from mlhub.storage.heldfiles import HeldFiles
from mlhub.storage.indexer import Indexer
from mlhub.storage.indexes import indexing
from mlhub.storage.lanes import LaneStore
from mlhub.storage.largetensors import LargeTensors
from mlhub.storage.models import ModelStore
from mlhub.storage.points import PointStore
from mlhub.storage.pools import PoolStore
from mlhub.storage.predictions import PredictionStore
from mlhub.storage.shelf import BundleShelf
from mlhub.storage.stores import create_bundle_store
from mlhub.storage.uploads import UploadStore
from mlhub.storage.versions import VersionStore
from mlhub.storage.webhooks import WebhookStore
from mlhub.storage.work import WorkStore

_UPKEEP: Final = 2.0
"""Seconds between two looks at the search index."""
_SEGMENT: Final = 4096
"""Entries of its segments that an API process puts together at most; workers make larger ones."""


class Stores:
    """All stores of a process."""

    def __init__(self, settings: Settings) -> None:
        """Build them; nothing is sent before the first call."""
        keep = timedelta(seconds=settings.prediction_ttl)
        self.database = connect(settings.mongodb_url, settings.database)
        self.models = ModelStore(self.database)
        self.versions = VersionStore(self.database)
        self.predictions = PredictionStore(self.database, keep)
        self.work = WorkStore(self.database, keep)
        self.lanes = LaneStore(self.database)
        self.bulks = BulkStore(self.database)
        self.pools = PoolStore(self.database)
        self.points = PointStore(self.database, STEP)
        self.cards = CardStore(self.database)
        self.copies = CopyStore(self.database)
        self.bundles = create_bundle_store(settings)
        self.shelf = BundleShelf(self.bundles, self.copies, self.versions)
        self.uploads = UploadStore(self.database, self.shelf)
        self.catalogue = Catalogue(self.models, self.versions, self.shelf, self.cards)
        self.tensors = LargeTensors(HeldFiles(self.shelf, self.bundles), keep, settings.max_inline_bytes)

    def indexing(self) -> Rounds:
        """Return what makes the indexes and keeps them in shape."""
        indexed = (
            self.models,
            self.versions,
            self.predictions,
            WebhookStore(self.database),
            self.bulks,
            self.copies,
            self.uploads,
            self.points,
        )
        indexer = Indexer(self.database, self.models, _SEGMENT)
        return indexing([store.create_indexes for store in indexed], indexer.run, _UPKEEP)
