"""What the job pool reads and writes, built once per process."""

import msgspec

from mlhub.storage.bundles import BundleStore
from mlhub.storage.cards import CardStore
from mlhub.storage.catalogue import Catalogue
from mlhub.storage.predictions import PredictionStore
from mlhub.storage.shelf import BundleShelf
from mlhub.storage.uploads import UploadStore
from mlhub.storage.versions import VersionStore
from mlhub.storage.work import WorkStore


class Records(msgspec.Struct, frozen=True):
    """The stores that jobs work on."""

    versions: VersionStore
    predictions: PredictionStore
    work: WorkStore
    catalogue: Catalogue
    bundles: BundleStore
    shelf: BundleShelf
    uploads: UploadStore
    cards: CardStore
