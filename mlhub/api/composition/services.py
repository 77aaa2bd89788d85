"""What an API process does, over its stores, the broker and the processes that it hears of."""

from datetime import timedelta
from functools import partial
from typing import Final

from mlhub.api.composition.stores import Stores
from mlhub.api.gateway.dead import DeadLetterQueue
from mlhub.api.gateway.gateway import Gateway
from mlhub.api.gateway.purge import purge
from mlhub.api.lanegate import LaneGate
from mlhub.api.operations.beat import Beat
from mlhub.api.operations.failures import Failures
from mlhub.api.operations.metering import Metering
from mlhub.api.operations.metrics import MetricsService
from mlhub.api.operations.monitor import MonitorService
from mlhub.api.operations.registry import Registry
from mlhub.api.operations.service import OperationsService, PurgeService
from mlhub.api.publication import Publication
from mlhub.api.services.bulks import BulkService
from mlhub.api.services.deadletters import DeadLetterService
from mlhub.api.services.exchange import ExchangeService
from mlhub.api.services.health import HealthService
from mlhub.api.services.models import ModelService
from mlhub.api.services.pools import PoolService
from mlhub.api.services.predictions import PredictionService
from mlhub.api.services.resumable import ResumableService
from mlhub.api.services.routes import RouteCache, RouteService
from mlhub.api.services.uploads import UploadService
from mlhub.common.prediction import PredictionStatus
from mlhub.common.sampling import create_sampler
from mlhub.common.settings import Settings
from mlhub.common.tally import Tally
from mlhub.common.tracing import Tracing
from mlhub.storage.bulkshelf import BulkShelf
from mlhub.storage.database import check, version

_FAILED: Final = 10
"""Failed predictions that the monitor page shows."""


class Services:
    """All services of a process."""

    def __init__(self, stores: Stores, settings: Settings, tracing: Tracing | None) -> None:
        """Build them; nothing is sent before they are started."""
        tally = Tally()
        self.registry = Registry()
        failures = Failures()
        self.metering = Metering(tally, failures)
        self.gateway = Gateway(settings, self.registry, tally, tracing)
        self.beat = Beat(tally, failures, self.gateway.beat)

        self.models = ModelService(stores.models, stores.versions, stores.catalogue, settings)
        self.routes = RouteCache(
            RouteService(stores.models, stores.versions, settings.backends).find, settings.route_ttl
        )
        self.predictions = PredictionService(
            stores.predictions, LaneGate(stores.lanes), stores.tensors, settings.max_prediction_bytes
        )
        self.bulks = BulkService(
            stores.predictions,
            stores.bulks,
            BulkShelf(stores.bulks, stores.shelf, stores.bundles),
            timedelta(seconds=settings.prediction_ttl),
            settings.bulk_slots,
        )

        self.uploads = UploadService(
            stores.models, stores.versions, stores.catalogue, stores.shelf, self.models
        )
        self.publication = Publication(self.uploads, self.models, self.gateway, settings)
        self.resumable = ResumableService(
            stores.uploads,
            stores.shelf,
            stores.bundles,
            stores.versions,
            self.uploads,
            settings.upload_ttl,
            settings.max_bundle_bytes,
        )
        self.exchange = ExchangeService(self.models, self.uploads, stores.bundles)

        self.health = HealthService(
            self.gateway,
            lambda: check(stores.database),
            stores.bundles.check,
            lambda: version(stores.database),
            tuple(settings.backends),
        )
        self.pools = PoolService(stores.pools, settings)
        self.operations = OperationsService(
            settings.backends,
            create_sampler(settings),
            self.registry,
            self.health.look,
            stores.predictions.waiting_since,
            self.pools.show,
        )
        self.metrics = MetricsService(self.operations, self.registry, self.beat)
        self.monitor = MonitorService(
            self.operations,
            self.registry,
            self.beat,
            lambda: stores.predictions.page(None, PredictionStatus.FAILED, _FAILED, None).items,
            stores.points,
            {} if settings.flower_url is None else {"Flower": settings.flower_url},
        )
        self.purging = PurgeService(
            self.operations, partial(purge, settings.broker_url), stores.predictions.cancel_waiting
        )
        self.dead_letters = DeadLetterService(DeadLetterQueue(settings.broker_url), stores.work)
